// Starts the service that is named as argument, until the process that started this one lets it go.
import { NestFactory } from '@nestjs/core';
import { CensusModule } from './census.module.js';
import { HeraldModule } from './herald.module.js';

async function bootstrap() {
  const service = process.argv[2] === 'census' ? CensusModule : HeraldModule;
  const app = await NestFactory.create(service, { logger: ['error', 'warn'] });
  await app.listen(0, '127.0.0.1');
  process.once('disconnect', () => void app.close());
  process.send?.(await app.getUrl());
}
void bootstrap();
