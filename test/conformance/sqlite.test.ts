import t from 'tap'
import { conformance } from './index.ts'

const skip = await import('node:sqlite').then(() => false, () => 'node:sqlite needs Node >= 22.13')
t.test('SQLite', { skip }, async (t) => conformance(t.test, new URL('targets/sqlite.ts', import.meta.url)))
