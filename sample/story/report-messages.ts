import { IncomingRequestDeserializer } from '@nestjs/microservices';
import { reportMail } from './report-mail.js';

/** FOR THE DEMONSTRATION ONLY. Tells the runner about a message and the claims of its token and grant, before the guard looks. */
export class ReportingDeserializer extends IncomingRequestDeserializer {
  override deserialize(
    ...args: Parameters<IncomingRequestDeserializer['deserialize']>
  ): ReturnType<IncomingRequestDeserializer['deserialize']> {
    const { pattern, metadata } = Object(args[0]) as { pattern?: unknown; metadata?: unknown };
    reportMail(`SEND ${String(pattern)}`, metadata);
    return super.deserialize(...args);
  }
}
