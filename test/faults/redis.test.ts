import t from 'tap'
import { runCase, type ConformanceTarget } from '../conformance/index.ts'
import { deaths } from './deaths.ts'
import { round } from './rounds.ts'

const target = new URL('../conformance/targets/redis.ts', import.meta.url)
const module = await import(target.href) as ConformanceTarget
for (const one of deaths) t.test(one.name, () => runCase(one, module, target.href))
for (let number = 1; number <= 3; number++) t.test(`random faults lose nothing: round ${number}`, () => round(target))
