import type { Backend, QueueSettings } from '../types/backend.ts'
import type { Definition } from './registry.ts'
import type { Worker } from './worker.ts'

/** A queue of the app: its settings, where its jobs live, and who works on them. */
export class Queue {
  readonly name: string
  readonly settings: QueueSettings
  readonly backend: Backend
  worker!: Worker
  /** What every inline function of this queue counts as. */
  delegates!: Definition

  constructor (settings: QueueSettings, backend: Backend) {
    this.name = settings.name
    this.settings = settings
    this.backend = backend
  }

  /** Bytes of a payload's JSON text that an enqueue takes. */
  get maxPayloadBytes (): number {
    const { delegates, maxPayloadBytes = Infinity } = this.backend.capabilities
    // Where jobs can be inline functions, payloads stay objects.
    return delegates ? Infinity : Math.min(this.settings.maxPayloadBytes, maxPayloadBytes)
  }
}
