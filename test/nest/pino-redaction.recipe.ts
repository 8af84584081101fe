import { LoggerModule } from 'nestjs-pino';

export const pinoHttp = { redact: ['req.headers.jwt', 'req.headers["txn-token"]'] };

export const logging = LoggerModule.forRoot({ pinoHttp });
