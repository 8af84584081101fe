import { startService } from '../setup/start-service.js';
import { AppModule } from './app.module.js';
import { listenForMails } from './mail-intake.js';

await startService('courier', (environment) => AppModule.register(environment), listenForMails);
