import t from 'tap'
import { durableMemory } from '../helpers/durable-memory.ts'
import { mutants } from './mutants.ts'
import { Fleet } from './process/fleet.ts'
import { casesFor, runCase } from './suite.ts'

// What a mutant never does is not waited for long.
process.env.CONFORMANCE_DEADLINE = '2000'

// No case here starts a process.
const fleet = new Fleet('')
const sound = durableMemory()
const cases = new Map(casesFor(sound).map((one) => [one.name, one]))

t.test('the suite has nothing to say about a sound backend', async (t) => {
  for (const name of new Set(mutants.map(({ foundBy }) => foundBy))) {
    await t.resolves(runCase(cases.get(name)!, sound, fleet), name)
  }
})

t.test('the suite finds that', async (t) => {
  // Side by side: most of the time they wait in vain.
  const findings = await Promise.allSettled(mutants.map(({ foundBy, change }) => runCase(cases.get(foundBy)!, durableMemory(change), fleet)))
  for (const [index, { fault, foundBy }] of mutants.entries()) t.equal(findings[index]!.status, 'rejected', `${fault}, by '${foundBy}'`)
})
