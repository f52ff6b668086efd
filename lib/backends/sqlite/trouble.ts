import { errorCode } from '../../node-sqlite.ts'

/** What clients are told about a file that cannot be used, by SQLite's result code. Its own words, and the path, are for the log. */
const TROUBLES: Readonly<Record<number, string>> = {
  5: 'another process has locked the file; look for a transaction that was left open, or raise busyTimeout',
  8: 'the file is read-only; make it and its folder writable',
  10: 'reading or writing the file failed; check the disk, its quota and the limit on the size of files',
  11: 'the file is damaged; restore a copy',
  13: 'the disk is full; make room',
  14: 'the file cannot be opened; check that it and its folder exist and are writable',
  26: 'the file is not a SQLite database; restore a copy'
}
const OTHER_TROUBLE = 'it failed unexpectedly; see the cause in the log'

/** Trouble that this backend finds by itself. The message may reach clients. */
export class FileTrouble extends Error {}

export function closedTrouble (): FileTrouble {
  return new FileTrouble('it is closed; use it before the app has stopped')
}

/** The kind of trouble and what to do about it, in words that may reach clients. */
export function troubleOf (error: unknown): string {
  return error instanceof FileTrouble ? error.message : TROUBLES[errorCode(error)] ?? OTHER_TROUBLE
}
