import { Logger } from '@nestjs/common';
import type { ServiceAuthEvent, ServiceAuthObserver } from '../core/index.js';

/** Writes what happens to keys to Nest's log: trouble as a warning, the rest for whoever debugs. */
export function loggingObserver(): ServiceAuthObserver {
  const logger = new Logger('ServiceAuth');
  return {
    observe: (event) => {
      const { level, text } = describe(event);
      logger[level](text);
    },
  };
}

function describe(event: ServiceAuthEvent): { level: 'debug' | 'log' | 'warn'; text: string } {
  switch (event.type) {
    case 'keys_refreshed':
      return { level: 'debug', text: `Keys of ${event.issuer} refreshed: ${event.keyIds.length}` };
    case 'keys_refresh_failed': {
      const meanwhile = event.servingStale ? 'known keys serve on' : 'no key is known';
      return { level: 'warn', text: `Keys of ${event.issuer}: ${event.reason}; ${meanwhile}` };
    }
    case 'key_dropped':
      return { level: 'warn', text: `A key of ${event.issuer} is not used: ${event.reason}` };
    case 'signing_keys_changed':
      return {
        level: 'log',
        text: `Key ${event.keyId} signs; published: ${event.publishedKeyIds.join(', ')}`,
      };
    case 'signing_keys_unusable':
      return { level: 'warn', text: `The key before signs on: ${event.reason}` };
  }
}
