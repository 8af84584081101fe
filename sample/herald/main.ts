import { startService } from '../setup/start-service.js';
import { AppModule } from './app.module.js';
import { serveDocumentation } from './documentation.js';

await startService('herald', (environment) => AppModule.register(environment), serveDocumentation);
