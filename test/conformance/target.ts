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
  /** Spoils the stored payload of a job that waits, so that it cannot be read. Absent: nobody could. */
  corrupt? (space: string, queue: string, id: string): Promise<void>
}
