import { startService } from '../setup/start-service.js';
import { AppModule } from './app.module.js';

await startService('another', (environment) => AppModule.register(environment));
