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
}
