import { LoggerModule } from 'nestjs-pino';

export const pinoHttp = { redact: ['req.headers.jwt'] };

export const logging = LoggerModule.forRoot({ pinoHttp });
