/** One JSON object a line. Only what is named here is ever logged: no header, no body, no query, no error's details. */
export interface Entry {
  readonly event: string;
  readonly [member: string]: string | number | boolean | readonly string[] | undefined;
}

export type Log = (entry: Entry) => void;

export function logTo(stream: NodeJS.WritableStream): Log {
  return (entry) => {
    stream.write(`${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`);
  };
}

export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
