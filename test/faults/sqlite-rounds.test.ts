import t from 'tap'
import '../helpers/file-timeout.ts'
import { rounds } from './rounds.ts'

const skip = await import('node:sqlite').then(() => false, () => 'NOT TESTED: node:sqlite needs Node >= 22.13')
t.test('on SQLite', { skip }, async (t) => rounds(t, new URL('../conformance/targets/sqlite.ts', import.meta.url)))
