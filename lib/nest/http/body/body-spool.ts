import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { unspoolable } from './body-limits.js';

/** How much is written, or read back, at a time: each is a way to another thread and back. */
export const PIECE_BYTES = 256 * 1024;

/**
 * A body in a temporary file: written from its first byte to its last, then read once. Only this
 * process can open the file, and where the platform allows it the file has lost its name before a
 * byte is in it, so that nothing is left behind however the process ends.
 */
export class BodySpool {
  private position = 0;
  /** What was written whole. */
  private size = 0;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly file: FileHandle,
    /** Where the file still is; undefined once it has no name. */
    private readonly path: string | undefined,
  ) {}

  /** @throws ServiceAuthUnavailableError `body_unverifiable` when no file can be made in `directory` */
  static async open(directory: string): Promise<BodySpool> {
    const path = join(directory, `service-auth-${randomUUID()}`);
    // `x`: a file or a link that is there already is never written to.
    const file = await open(path, 'wx+', 0o600).catch((error: unknown) => {
      throw unspoolable(error);
    });
    const isUnlinked = await unlink(path).then(
      () => true,
      () => false, // Windows may not take the name from an open file: it is removed at the end
    );
    return new BodySpool(file, isUnlinked ? undefined : path);
  }

  /** @throws ServiceAuthUnavailableError `body_unverifiable` when not every byte could be written */
  async append(chunks: readonly Buffer[]): Promise<void> {
    try {
      const { bytesWritten } = await this.file.writev(chunks);
      const size = chunks.reduce((sum, { length }) => sum + length, 0);
      // The system may take a part of them only.
      if (bytesWritten < size) {
        await this.file.writeFile(Buffer.concat(chunks, size).subarray(bytesWritten));
      }
      this.size += size;
    } catch (error) {
      throw unspoolable(error);
    }
  }

  /** The next piece; undefined at the end. What an `append` that failed has left is not read. */
  async read(): Promise<Buffer | undefined> {
    const length = Math.min(PIECE_BYTES, this.size - this.position);
    if (length === 0) return undefined;
    const piece = Buffer.allocUnsafe(length);
    const { bytesRead } = await this.file.read(piece, 0, length, this.position);
    this.position += bytesRead;
    return bytesRead > 0 ? piece.subarray(0, bytesRead) : undefined;
  }

  /** Closes the file and removes what is left of it. */
  async close(): Promise<void> {
    this.closing ??= this.remove();
    await this.closing;
  }

  private async remove(): Promise<void> {
    // The bytes are not needed any more: that closing fails loses nothing.
    await this.file.close().catch(() => undefined);
    if (this.path !== undefined) await rm(this.path, { force: true }).catch(() => undefined);
  }
}
