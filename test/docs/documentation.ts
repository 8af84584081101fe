/** A block of TypeScript on a page of the documentation. */
export interface CodeBlock {
  readonly code: string;
  /** The file that its first line names, as in `// census.module.ts`, so that other blocks can import it. */
  readonly file: string | undefined;
}

/** Every TypeScript block of a page, in order. */
export function typeScriptOf(page: string): CodeBlock[] {
  const blocks = page.matchAll(/^```ts(?: nest-12)?\n(.*?)^```$/gms);
  return [...blocks].map(([, code = '']) => ({ code, file: /^\/\/ (\S+\.ts)$/m.exec(code)?.[1] }));
}
