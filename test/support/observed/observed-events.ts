import type { ServiceAuthEvent, ServiceAuthObserver } from 'nestjs-service-auth/core';

type EventType = ServiceAuthEvent['type'];
type EventOf<T extends EventType> = Extract<ServiceAuthEvent, { type: T }>;
type Decision = EventOf<`request_${string}` & EventType> | EventOf<'signing_failed'>;

function isDecision(event: ServiceAuthEvent): event is Decision {
  return event.type.startsWith('request_') || event.type === 'signing_failed';
}

/** Keeps what an observer hears, and lets a test wait for the next event of a kind. */
export class ObservedEvents implements ServiceAuthObserver {
  /** What happens to keys and to the replay store. */
  readonly all: ServiceAuthEvent[] = [];
  /** What becomes of requests. */
  readonly decisions: Decision[] = [];
  private waiting: ((event: ServiceAuthEvent) => void)[] = [];

  observe(event: ServiceAuthEvent): void {
    if (isDecision(event)) this.decisions.push(event);
    else this.all.push(event);
    for (const wake of this.waiting.splice(0)) wake(event);
  }

  /** The events of one kind that were heard so far. */
  of<T extends EventType>(type: T): EventOf<T>[] {
    return [...this.all, ...this.decisions].filter(
      (event): event is EventOf<T> => event.type === type,
    );
  }

  /** Resolves with the next event of this kind. */
  async next<T extends EventType>(type: T): Promise<EventOf<T>> {
    const heard = this.of(type).length;
    while (this.of(type).length === heard) {
      await new Promise((resolve) => this.waiting.push(resolve));
    }
    return this.of(type)[heard] as EventOf<T>;
  }

  /** Resolves when so many decisions were heard. */
  async reach(count: number): Promise<void> {
    while (this.decisions.length < count) {
      await new Promise((resolve) => this.waiting.push(resolve));
    }
  }
}
