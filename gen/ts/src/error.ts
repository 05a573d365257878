import type { components } from "./schema.js";

/** What souk says of a failed request (RFC 9457). */
export type Problem = components["schemas"]["Problem"];

/** A field of the request that is wrong. */
export type FieldProblem = components["schemas"]["FieldProblem"];

/** The code of an answer that is no problem of souk, such as the error page of a proxy. */
export const UNEXPECTED = "unexpected_answer";

/** An answer with a status of 400 or more. Act on `code`: it never changes, but there may be new ones. */
export class SoukError extends Error {
  override readonly name = "SoukError";

  constructor(
    /** The kind of problem, such as `out_of_stock`. */
    readonly code: string,
    /** The HTTP status. */
    readonly status: number,
    /** The kind of problem, for people. */
    readonly title: string,
    /** Fields of the request that are wrong. */
    readonly fields: readonly FieldProblem[],
    /** Names the request in souk's logs. */
    readonly traceId: string | undefined,
    /** After how many seconds the request may be sent again. */
    readonly retryAfter: number | undefined,
    /** The whole answer, with members such as `quote`. */
    readonly problem: Problem | undefined,
  ) {
    super(`${code}: ${problem?.detail || title}`);
  }

  /** Reads the error from an answer. */
  static async from(response: Response): Promise<SoukError> {
    const p = await readProblem(response);
    return new SoukError(
      p?.code ?? UNEXPECTED,
      response.status,
      p?.title ?? (response.statusText || `HTTP ${response.status}`),
      p?.errors ?? [],
      p?.traceId,
      retryAfter(response),
      p,
    );
  }
}

async function readProblem(response: Response): Promise<Problem | undefined> {
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) return undefined;
  const text = await response.text();
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return undefined; // cut off on the way: the status still says enough
  }
}

/** The seconds of Retry-After; undefined if it is missing or a date, which souk never sends. */
export function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(text) ? Number(text) : undefined;
}
