/** Work that several callers wait for together. */
export class Flights<T> {
  readonly #flying = new Map<string, Promise<T>>();

  /** What `start` gives, or what it gives to those who asked for `key` before and still wait. */
  join(key: string, start: () => Promise<T>): Promise<T> {
    const flying = this.#flying.get(key);
    if (flying !== undefined) return flying;
    const flight = start().finally(() => this.#flying.delete(key));
    this.#flying.set(key, flight);
    return flight;
  }
}

/** The promise, unless the caller's own signal comes first; the work goes on for the others who wait. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
