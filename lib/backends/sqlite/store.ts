import type { BackendContext, Deliver } from '../../../types/backend.ts'
import { logFields } from '../../envelope.ts'
import { Admission } from './admission.ts'
import type { Connection } from './connection.ts'
import { SqliteConsumer } from './consumer.ts'
import { GroupCommit, type GroupWork } from './group-commit.ts'
import { Housekeeping } from './housekeeping.ts'
import { Lease } from './lease.ts'
import { SqliteQueue } from './queue.ts'
import type { DeliveryRow } from './records.ts'
import type { Counts, Transaction } from './transaction.ts'
import { closedTrouble } from './trouble.ts'

export interface StoreOptions {
  readonly pollInterval: number
  readonly lease: number
  readonly busyTimeout: number
  readonly retention: number
}

/** A queue of this app: who gets in, who is handed out. */
export interface Lane {
  readonly queue: SqliteQueue
  readonly admission: Admission
  consumer: SqliteConsumer | undefined
  /** What the transaction that runs has claimed. */
  claimed: DeliveryRow[]
}

/** The app's part of the file: what every transaction of it does, in this order. */
export class Store implements GroupWork {
  readonly connection: Connection
  readonly group: GroupCommit
  readonly lanes: ReadonlyMap<string, Lane>
  readonly #context: BackendContext
  readonly #housekeeping: Housekeeping
  readonly #lease: Lease
  /** Whom the transaction that runs acts for. */
  #worker: number | undefined
  #closing: Promise<void> | undefined

  constructor (connection: Connection, context: BackendContext, options: StoreOptions, rows: readonly Counts[]) {
    const { clock, log, queues } = context
    this.connection = connection
    this.#context = context
    this.group = new GroupCommit({ connection, clock, log, busyTimeout: options.busyTimeout }, this)
    this.lanes = new Map(queues.map((settings) => {
      const queue = new SqliteQueue(settings, rows.find(({ name }) => name === settings.name)!.queue)
      const admission = new Admission(queue, context, this.group.wake, (tx) => this.#claimForIdle(tx, lane))
      const lane: Lane = { queue, admission, consumer: undefined, claimed: [] }
      return [settings.name, lane]
    }))
    this.#lease = new Lease(options.lease)
    this.#housekeeping = new Housekeeping(this, clock, options)
  }

  get pending (): boolean {
    for (const { consumer } of this.lanes.values()) {
      if (consumer?.pending) return true
    }
    return false
  }

  consume (name: string, concurrency: number, deliver: Deliver): SqliteConsumer {
    const lane = this.lanes.get(name)!
    this.#housekeeping.keepLease()
    return (lane.consumer = new SqliteConsumer(lane.queue, concurrency, deliver, this.group.wake))
  }

  /** The queue of this app that has this number in the file. */
  queueOf (id: number): SqliteQueue | undefined {
    for (const { queue } of this.lanes.values()) {
      if (queue.id === id) return queue
    }
    return undefined
  }

  before (tx: Transaction): void {
    this.#worker = this.#housekeeping.keepsLease ? this.#lease.hold(tx) : undefined
    for (const lane of this.lanes.values()) {
      const { admission, consumer } = lane
      lane.claimed = []
      admission.begin()
      if (this.#worker !== undefined) consumer?.store(tx, this.#worker)
    }
  }

  after (tx: Transaction): void {
    this.#housekeeping.perform(tx, this.#worker)
    for (const lane of this.lanes.values()) {
      this.#fill(tx, lane)
      lane.queue.trim(tx)
    }
    this.#housekeeping.findNextDue(tx)
  }

  committed (tx: Transaction): void {
    const { log, onDrop } = this.#context
    for (const { consumer } of this.lanes.values()) consumer?.stored()
    this.#lease.committed()
    for (const { queue, letter } of tx.deadLettersLost) log.warn(logFields(letter, queue), 'too many dead letters, the oldest one is forgotten')
    for (const { queue, envelope } of tx.dropped) onDrop(queue, envelope)
    for (const { admission, consumer, claimed } of this.lanes.values()) {
      admission.committed()
      if (claimed.length > 0) consumer!.handOut(claimed, this.#lease.worker!, this.#lease.signal, tx.now)
    }
    this.#housekeeping.committed(tx)
  }

  rolledBack (): void {
    for (const { admission } of this.lanes.values()) admission.rolledBack()
  }

  unavailable (error: Error): void {
    for (const { admission } of this.lanes.values()) admission.producers.rejectAll(error)
  }

  /** Gives back what this process holds, and ends. */
  close (): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close (): Promise<void> {
    this.#housekeeping.stop()
    try {
      await new Promise<void>((resolve, reject) => {
        this.group.add({ perform: (tx) => this.#leave(tx), committed: resolve, failed: reject })
      })
    } finally {
      this.group.close()
      this.unavailable(this.connection.unavailable(closedTrouble()))
      this.connection.close()
    }
  }

  // From here on nothing is claimed: the worker is no more.
  #leave (tx: Transaction): void {
    this.#housekeeping.leave(tx, this.#lease.worker)
    this.#worker = undefined
  }

  /** The room that claiming makes lets producers in, whose jobs may be claimed at once. */
  #fill (tx: Transaction, lane: Lane): void {
    lane.queue.makeDueReady(tx)
    do this.#claim(tx, lane)
    while (lane.admission.promote(tx) > 0 && this.#slots(lane) > 0)
  }

  // What is due comes before what is about to be enqueued.
  #claimForIdle (tx: Transaction, lane: Lane): void {
    if (this.#slots(lane) <= 0) return
    lane.queue.makeDueReady(tx)
    this.#claim(tx, lane)
  }

  #claim (tx: Transaction, lane: Lane): void {
    const { fresh, returned } = tx.look(lane.queue.id)
    const slots = this.#slots(lane)
    if (slots > 0 && fresh + returned > 0) lane.claimed = lane.claimed.concat(lane.queue.claim(tx, this.#worker!, slots))
  }

  /** Slots of this process that are free. */
  #slots ({ consumer, claimed }: Lane): number {
    return this.#worker === undefined || consumer === undefined ? 0 : consumer.wanted - claimed.length
  }
}
