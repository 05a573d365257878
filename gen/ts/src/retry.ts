import { retryAfter } from "./error.js";

/** Sends one request. The global fetch is one. */
export type Fetch = (request: Request, init?: RequestInit) => Promise<Response>;

export interface RetryOptions {
  /** How often a request is sent again. Default 3; 0: never. */
  retries?: number | undefined;
  /** How long one attempt may take, in milliseconds. Default 30,000. */
  timeout?: number | undefined;
  /** The longest wait before a retry, in milliseconds. If souk asks for more, the answer is an error. Default 10,000. */
  maxWait?: number | undefined;
}

const firstWait = 200;

/**
 * Returns a fetch that repeats what may be sent twice: GET, PUT, DELETE, and a POST with an Idempotency-Key. It repeats
 * after 429, 503, `idempotency_in_flight`, a timeout and a lost connection.
 */
export function retrying(send: Fetch, options: RetryOptions = {}): (request: Request) => Promise<Response> {
  const { retries = 3, timeout = 30_000, maxWait = 10_000 } = options;
  return async (request) => {
    const attempts = isIdempotent(request) ? retries : 0;
    for (let attempt = 0; ; attempt++) {
      const last = attempt === attempts;
      const backoff = firstWait * 2 ** attempt * (0.5 + Math.random());
      let wait = Math.min(backoff, maxWait);
      try {
        const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeout)]);
        const response = await send(last ? request : request.clone(), { signal });
        const asked = retryAfter(response);
        if (last || !isTemporary(response.status, asked)) return response;
        wait = asked === undefined ? wait : asked * 1000;
        if (wait > maxWait) return response;
        await response.body?.cancel();
      } catch (error) {
        if (last || request.signal.aborted) throw error;
      }
      await sleep(wait, request.signal);
    }
  };
}

function isIdempotent(request: Request): boolean {
  return ["GET", "PUT", "DELETE"].includes(request.method) ||
    (request.method === "POST" && request.headers.has("Idempotency-Key"));
}

/** Of conflicts, only `idempotency_in_flight` has a Retry-After. */
function isTemporary(status: number, asked: number | undefined): boolean {
  return status === 429 || status === 503 || (status === 409 && asked !== undefined);
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", abort, { once: true });
  });
}
