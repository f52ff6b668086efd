/** How much is measured. */
export interface Settings {
  concurrencies: number[]
  rounds: number
  /** Milliseconds that one measurement may take. */
  bound: number
  boundedJobs: Record<string, number>
  /** The peer that is an order of magnitude slower runs fewer jobs. */
  slowJobs: number
  backlogs: number[]
  /** Small backlogs are repeated in one process until so many jobs ran. */
  backlogJobs: number
  heapJobs: number
  httpRounds: number
  /** Seconds. */
  httpDuration: number
}

export const full: Settings = {
  concurrencies: [1, 10, 100],
  rounds: 5,
  bound: 20_000,
  boundedJobs: { null: 200_000, setImmediate: 100_000 },
  slowJobs: 30_000,
  backlogs: [1000, 10_000, 200_000, 1_000_000],
  backlogJobs: 200_000,
  heapJobs: 1_000_000,
  httpRounds: 9,
  httpDuration: 5
}

export const quick: Settings = {
  concurrencies: [10],
  rounds: 3,
  bound: 15_000,
  boundedJobs: { null: 100_000, setImmediate: 50_000 },
  slowJobs: 10_000,
  backlogs: [1000, 10_000, 200_000, 1_000_000],
  backlogJobs: 100_000,
  heapJobs: 200_000,
  httpRounds: 7,
  httpDuration: 1
}
