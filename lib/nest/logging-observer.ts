import { Logger } from '@nestjs/common';
import type { ServiceAuthEvent, ServiceAuthObserver } from '../core/index.js';

/** Writes what happens to keys and to the replay store to Nest's log: trouble as a warning, the rest for whoever debugs. */
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
    case 'replay_store_failed':
      return { level: 'warn', text: `The replay store cannot answer: ${event.reason}` };
    case 'replay_store_recovered': {
      const meanwhile = `${event.refused} refused, ${event.acceptedUnchecked} accepted unchecked`;
      return { level: 'log', text: `The replay store answers again; meanwhile ${meanwhile}` };
    }
    case 'token_accepted_unchecked': {
      const { issuer, reason, count } = event;
      return { level: 'debug', text: `Token ${count} accepted unchecked, of ${issuer}: ${reason}` };
    }
    case 'replay_store_unsafe':
      return { level: 'warn', text: `Tokens may be used twice: ${event.reason}` };
  }
}
