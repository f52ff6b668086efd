import type { Backend } from '../../lib/index.ts'

/** The module that says how a backend is tested: its exports, which this process and child processes import. */
export interface ConformanceTarget {
  /**
   * A new connection to the store called `space`: what each process of an app creates. Opens nothing yet. `space`: lower-case
   * letters and digits. Where jobs have leases, give short ones (a second or two): cases wait until they end.
   */
  connect (space: string): Backend
  /** Removes the store called `space` with all that is in it. */
  remove (space: string): Promise<void>
  /** A backend whose server is absent. Absent: there is no server. */
  unreachable? (): Backend
  /** A connection to the store that can be broken. Absent: nothing lies between. */
  breakable? (space: string): Promise<BreakableConnection>
  /** Spoils the stored payload of a job that waits, so that it cannot be read. Absent: nobody could. */
  corrupt? (space: string, queue: string, id: string): Promise<void>
}

export interface BreakableConnection {
  /** Commands fail within five seconds, or less, while the store is out of reach. */
  readonly backend: Backend
  /** The store is out of reach, for this connection at least. */
  break (): Promise<void>
  mend (): Promise<void>
  /** When the app on it has closed. */
  close (): Promise<void>
}
