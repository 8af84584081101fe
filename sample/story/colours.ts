const ESCAPES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const;

export type Style = keyof typeof ESCAPES;

/** Gives a text a colour, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/**
 * Colours are for screens. NO_COLOR takes them away, and FORCE_COLOR gives them to files and pipes too.
 *
 * @param isScreen whether the output is a terminal
 */
export function createPaint(isScreen: boolean, variables: NodeJS.ProcessEnv): Paint {
  const { NO_COLOR: refused, FORCE_COLOR: forced, TERM: screen } = variables;
  const hasColours =
    forced === undefined
      ? isScreen && !refused && screen !== 'dumb'
      : forced !== '0' && forced !== 'false';
  return (style, text) => (hasColours ? `\u001b[${ESCAPES[style]}m${text}\u001b[0m` : text);
}
