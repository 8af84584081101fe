import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rm, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { unspoolable } from './body-limits.js';

/** The bytes written or read at a time: each piece takes a round trip to another thread. */
export const PIECE_BYTES = 256 * 1024;

/**
 * A body in a temporary file, written completely, then read once. Only this process can open the file. If the
 * platform allows it, the file is unlinked before anything is written, so the system removes it even if the process
 * crashes.
 */
export class BodySpool {
  private position = 0;
  /** The bytes of completed writes. */
  private size = 0;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly file: FileHandle,
    /** The path of the file; undefined after it is unlinked. */
    private readonly path: string | undefined,
  ) {}

  /** @throws ServiceAuthUnavailableError `body_unverifiable` if no file can be created in `directory` */
  static async open(directory: string): Promise<BodySpool> {
    const path = join(directory, `service-auth-${randomUUID()}`);
    // `x`: never writes to an existing file or link.
    const file = await open(path, 'wx+', 0o600).catch((error: unknown) => {
      throw unspoolable(error);
    });
    const isUnlinked = await unlink(path).then(
      () => true,
      () => false, // Windows may refuse to unlink an open file: it is removed at the end
    );
    return new BodySpool(file, isUnlinked ? undefined : path);
  }

  /** @throws ServiceAuthUnavailableError `body_unverifiable` if not every byte can be written */
  async append(chunks: readonly Buffer[]): Promise<void> {
    try {
      const { bytesWritten } = await this.file.writev(chunks);
      const size = chunks.reduce((sum, { length }) => sum + length, 0);
      // The system may write only a part of the bytes.
      if (bytesWritten < size) {
        await this.file.writeFile(Buffer.concat(chunks, size).subarray(bytesWritten));
      }
      this.size += size;
    } catch (error) {
      throw unspoolable(error);
    }
  }

  /** The next piece; undefined at the end. Bytes of a failed `append` are not read. */
  async read(): Promise<Buffer | undefined> {
    const length = Math.min(PIECE_BYTES, this.size - this.position);
    if (length === 0) return undefined;
    const piece = Buffer.allocUnsafe(length);
    const { bytesRead } = await this.file.read(piece, 0, length, this.position);
    this.position += bytesRead;
    return bytesRead > 0 ? piece.subarray(0, bytesRead) : undefined;
  }

  /** Closes the file, and removes it if it still has a name. */
  async close(): Promise<void> {
    this.closing ??= this.remove();
    await this.closing;
  }

  private async remove(): Promise<void> {
    // The bytes are no longer needed, so a failed close loses nothing.
    await this.file.close().catch(() => undefined);
    if (this.path !== undefined) await rm(this.path, { force: true }).catch(() => undefined);
  }
}
