declare module 'better-sqlite3' {
  /** As much of it as the benchmark uses. */
  export default class Database {
    constructor (path: string)
    readonly name: string
    pragma (source: string): unknown
    exec (source: string): this
    prepare (source: string): any
    transaction (body: any): any
    close (): this
  }
}
