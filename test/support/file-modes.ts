const hasFileModes = process.platform !== 'win32';

if (!hasFileModes) console.warn('Skipped: what needs file modes, which Windows has not.');

/** Tests of who may read a file; skipped, with a line that says so, where files have no modes. CI is Linux. */
export const itWithFileModes: typeof it = hasFileModes ? it : it.skip;
