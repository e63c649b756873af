const MOST_BYTES = 1024 * 1024;

/**
 * A request that can be sent a second time if all of its body was read by then and was not long.
 *
 * A longer body, or one that still comes as a stream, is not held in memory for that: it is sent once.
 */
export class Repeatable {
  /** To be sent. */
  readonly first: Request;
  readonly #request: Request;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #pieces: Uint8Array[] = [];
  #whole: boolean;

  constructor(request: Request) {
    this.#request = request;
    this.first = request.clone();
    this.#whole = request.body === null;
    this.#reader = request.body?.getReader();
    // A source that fails is the first request's to tell of.
    if (this.#reader !== undefined) void this.#copy(this.#reader).catch(() => undefined);
  }

  /** To be sent after the first was refused; undefined for what cannot be sent again. */
  again(): Request | undefined {
    if (!this.#whole) return undefined;
    if (this.#reader === undefined) return this.#request;
    return new Request(this.#request, { body: Buffer.concat(this.#pieces) });
  }

  /** It will not be sent again. */
  drop(): void {
    this.#pieces.length = 0;
    void this.#reader?.cancel().catch(() => undefined);
  }

  async #copy(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    for (let left = MOST_BYTES; ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      left -= value.byteLength;
      if (left < 0) return this.drop();
      this.#pieces.push(value);
    }
    this.#whole = true;
  }
}
