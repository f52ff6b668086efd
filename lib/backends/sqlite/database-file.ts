import { statSync } from 'node:fs'
import { FileTrouble } from './trouble.ts'

/** SQLite creates the last two when it opens a database in WAL mode, and keeps them until the last connection is closed. */
const SUFFIXES = ['', '-wal', '-shm']

/** The files of an open database. What is written into a removed one is lost with the process. */
export class DatabaseFile {
  readonly path: string
  readonly #inodes: readonly (number | undefined)[]

  /** `path`: absolute. */
  constructor (path: string) {
    this.path = path
    this.#inodes = SUFFIXES.map((suffix) => inodeOf(path + suffix))
  }

  /** What has become of them, if they are not the same files any more. */
  trouble (): FileTrouble | undefined {
    const missing = SUFFIXES.findIndex((suffix, index) => inodeOf(this.path + suffix) !== this.#inodes[index])
    if (missing === -1) return undefined
    const name = missing === 0 ? 'the file' : `the ${SUFFIXES[missing]} file beside the database`
    return new FileTrouble(`${name} was removed or replaced while it was open; restart the app`)
  }
}

function inodeOf (path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}
