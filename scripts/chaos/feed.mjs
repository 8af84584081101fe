import { randomInt } from 'node:crypto';
import { UNSIGNED } from './unsigned-messages.mjs';

/** @typedef {{ signMessage: import('../../lib/service-auth.js').ServiceAuth['signMessage'] }} Signer */

/** Puts signed messages into a queue, each in several copies, and beside them messages that nobody signed. */
export class Feed {
  /** The tokens of the signed messages. @type {string[]} */
  uses = [];
  unsigned = 0;

  /**
   * @param {import('amqplib').ConfirmChannel} channel
   * @param {Signer} signer
   * @param {{ queue: string, copies: number, audience: string }} place
   */
  constructor(channel, signer, place) {
    this.channel = channel;
    this.signer = signer;
    this.place = place;
  }

  /** @param {number} count of the signed messages; one in ten comes with an unsigned one */
  async publish(count) {
    for (let at = 0; at < count; at++) {
      const { token, data } = await this.sign();
      const content = JSON.stringify({ pattern: 'work', data });
      for (let copy = 0; copy < this.place.copies; copy++) this.send(content, { JWT: token });
      if (randomInt(10) === 0) this.sendUnsigned(token);
    }
    await this.channel.waitForConfirms();
  }

  async sign() {
    const data = this.uses.length;
    const text = `${data}`;
    const { token, tokenId } = await this.signer.signMessage(
      { verb: 'EMIT', route: 'work', text, subject: undefined, wantsAnswer: false },
      { audience: this.place.audience, grants: 'never' },
    );
    this.uses.push(tokenId);
    return { token, data };
  }

  /** @param {string} token */
  sendUnsigned(token) {
    const make = UNSIGNED[this.unsigned % UNSIGNED.length];
    this.unsigned += 1;
    const { content, headers } = make(token);
    this.send(content, headers);
  }

  /** @param {string} content @param {Record<string, unknown>} [headers] */
  send(content, headers = {}) {
    this.channel.sendToQueue(this.place.queue, Buffer.from(content), { headers });
  }
}
