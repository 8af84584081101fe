import type { ServiceMessage } from './messages.js';
import { describeReceived, now } from './received-token.js';

/** A job of BullMQ, as far as it is shown. */
interface ShownJob {
  readonly queueName: string;
  readonly name: string;
  readonly opts: object;
}

/** FOR THE DEMONSTRATION ONLY. Tells the runner about a job and the claims of its token and grant, before the guard looks. */
export function reportJob({ queueName, name, opts }: ShownJob): void {
  reportMail(`JOB ${queueName}/${name}`, Reflect.get(opts, 'serviceAuth'));
}

/** @param headers what has the token and the grant, as members */
export function reportMail(request: string, headers: unknown): void {
  const text = (name: string): string | undefined => {
    const value: unknown = Reflect.get(Object(headers) as object, name);
    return typeof value === 'string' ? value : undefined;
  };
  const received = describeReceived(text('JWT'), text('Txn-Token'));
  const message: ServiceMessage = { kind: 'mail', request, arrivedAt: now(), ...received };
  if (process.connected) process.send?.(message);
}
