import { startService } from '../setup/start-service.js';
import { AppModule } from './app.module.js';
import { servePage } from './serve-page.js';

await startService('edge', (environment) => AppModule.register(environment), servePage);
