/** TypeScript as JavaScript, with the map to its source. */
export function toJavaScript(source: string, path: string): { code: string; map?: string };
