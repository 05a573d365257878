import createClient, { type Client, type FetchResponse, type MaybeOptionalInit } from "openapi-fetch";
import { SoukError } from "./error.js";
import { needsKey } from "./keys.js";
import { retrying, type Fetch, type RetryOptions } from "./retry.js";
import type { paths } from "./schema.js";

export interface SoukOptions extends RetryOptions {
  /** Where souk is, such as "https://api.example.com". */
  baseUrl: string;
  /**
   * The bearer token: an access token of the sign-in provider, or a guest's. A function is called for each request;
   * undefined sends none.
   */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** "include" sends the session cookie of a browser that has signed in at /auth/login, also to another origin. */
  credentials?: RequestCredentials | undefined;
  /** Sends the requests. Default: the global fetch. */
  fetch?: Fetch | undefined;
}

type Verb = "get" | "put" | "post" | "patch" | "delete";

/** An operation that requires an Idempotency-Key, as a caller sees it: the client makes one. */
type WithOptionalKey<Operation> = Operation extends { parameters: { header: { "Idempotency-Key": string } } }
  ? Omit<Operation, "parameters"> & {
      parameters: Omit<Operation["parameters"], "header"> & { header?: { "Idempotency-Key"?: string } };
    }
  : Operation;

/** souk's API. */
export type Api = { [Path in keyof paths]: { [V in keyof paths[Path]]: WithOptionalKey<paths[Path][V]> } };

/** The paths with a method. */
export type PathsWith<V extends Verb> = {
  [Path in keyof Api]: Api[Path] extends { [K in V]: unknown } ? Path : never;
}[keyof Api];

/** What a request may say: params, body, headers and options of fetch. */
export type Init<Path extends keyof Api, V extends Verb> = MaybeOptionalInit<Api[Path], V & keyof Api[Path]>;

type Operation<Path extends keyof Api, V extends Verb> = V extends keyof Api[Path]
  ? Api[Path][V] extends Record<string | number, unknown> ? Api[Path][V] : never
  : never;

type Optional<I> = undefined extends I ? [init?: I] : [init: I];

/** The body of a successful answer. */
export type Data<Path extends keyof Api, V extends Verb> = Extract<
  FetchResponse<Operation<Path, V>, unknown, `${string}/${string}`>,
  { error?: never }
>["data"];

/** Calls a path and returns the body of its answer. It throws a SoukError for a status of 400 or more. */
export type Call<V extends Verb> = <Path extends PathsWith<V>>(
  path: Path,
  ...init: Optional<Init<Path, V>>
) => Promise<Data<Path, V>>;

/** The lists that come in pages. */
export type ListPath = {
  [Path in PathsWith<"get">]: Data<Path, "get"> extends { nextPageToken: string } ? Path : never;
}[PathsWith<"get">];

export interface Souk {
  GET: Call<"get">;
  PUT: Call<"put">;
  POST: Call<"post">;
  PATCH: Call<"patch">;
  DELETE: Call<"delete">;
  /** Reads a list page by page, from the page token of the query or else from the start. */
  pages<Path extends ListPath>(
    path: Path,
    ...init: Optional<Init<Path, "get">>
  ): AsyncGenerator<Data<Path, "get">, void, void>;
  /** The client of openapi-fetch that does the work. Its calls also return the response, for headers such as ETag. */
  raw: Client<Api>;
}

type LooseInit = { params?: { query?: object } } | undefined;
type LooseCall = (path: string, init: LooseInit) => Promise<{ data?: unknown }>;

/** Returns a client of souk. */
export function createSouk(options: SoukOptions): Souk {
  const { baseUrl, token, credentials } = options;
  const send: Fetch = options.fetch ?? ((request, init) => globalThis.fetch(request, init));
  const raw = createClient<Api>({
    baseUrl,
    ...(credentials && { credentials }),
    fetch: retrying(send, options),
  });
  raw.use({
    async onRequest({ request, schemaPath }) {
      const bearer = typeof token === "function" ? await token() : token;
      if (bearer && !request.headers.has("Authorization")) request.headers.set("Authorization", `Bearer ${bearer}`);
      if (request.method === "POST" && needsKey.has(schemaPath) && !request.headers.has("Idempotency-Key")) {
        request.headers.set("Idempotency-Key", crypto.randomUUID());
      }
    },
    async onResponse({ response }) {
      if (response.status >= 400) throw await SoukError.from(response);
    },
  });

  // The types of Souk say what each path takes and returns; here all paths are alike.
  const call = (method: LooseCall) => async (path: string, init?: LooseInit) => (await method(path, init)).data;
  async function* pages(path: string, init?: LooseInit) {
    const get = call(raw.GET as LooseCall);
    let query = init?.params?.query ?? {};
    for (;;) {
      const page = (await get(path, { ...init, params: { ...init?.params, query } })) as { nextPageToken: string };
      yield page;
      if (!page.nextPageToken) return;
      query = { ...query, pageToken: page.nextPageToken };
    }
  }
  return {
    GET: call(raw.GET as LooseCall),
    PUT: call(raw.PUT as LooseCall),
    POST: call(raw.POST as LooseCall),
    PATCH: call(raw.PATCH as LooseCall),
    DELETE: call(raw.DELETE as LooseCall),
    pages,
    raw,
  } as Souk;
}
