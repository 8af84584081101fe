const TIMEOUT_MILLISECONDS = 20_000;

export interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  /** The stable code of a refusal; undefined when it is none. */
  readonly code: string | undefined;
  /** What a 401 says in `WWW-Authenticate`. */
  readonly challenge: string | undefined;
  /** The cookie that it sets, as `name=value`. */
  readonly cookie: string | undefined;
  /** The body as JSON; undefined when it is none. */
  readonly body: unknown;
}

export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends a request as it is, with Node's own `fetch`: whatever the answer, it comes back. */
export async function send({ method, url, headers, body }: SentRequest): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers,
    body: body === '' ? undefined : body,
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
  });
  const answer = parse(await response.text());
  const { code } = Object(answer) as Record<string, unknown>;
  return {
    status: response.status,
    location: response.headers.get('location') ?? undefined,
    code: typeof code === 'string' ? code : undefined,
    cookie: response.headers.getSetCookie()[0]?.split(';', 1)[0],
    challenge: response.headers.get('www-authenticate') ?? undefined,
    body: answer,
  };
}

/** Waits for the answer; a service that gives none is status 0. */
export async function orNoAnswer(answer: Promise<Answer>): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    const { cause = error } = Object(error) as { cause?: unknown };
    const { code, name } = Object(cause) as Record<string, unknown>;
    const reason = String(code ?? name);
    const nothing = { location: undefined, challenge: undefined, cookie: undefined };
    return { ...nothing, status: 0, code: `no answer (${reason})`, body: undefined };
  }
}

/** `201`, or `401 body_mismatch`. */
export function describe({ status, code }: Answer): string {
  if (status === 0) return String(code);
  return code === undefined ? String(status) : `${status} ${code}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
