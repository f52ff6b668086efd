import type { Measurement } from './children/measurement.ts'

/** A ratio or a size that a benchmark came to, and what is wanted. `atLeast`: the value is known to be no smaller. */
export interface Target {
  name: string
  value: number
  atLeast?: boolean
  wanted: { min: number } | { max: number }
}

/** Our throughput divided by the peer's. */
export function ratio (ours: Measurement, peer: Measurement) {
  return { value: peer.value / ours.value, atLeast: peer.exceeded }
}

export function printTable (title: string, header: readonly string[], rows: readonly (readonly string[])[]) {
  const widths = header.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]!.length)))
  const line = (row: readonly string[]) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join('  ')
  console.log(`\n${title}\n`)
  console.log(line(header))
  console.log(widths.map((width) => '-'.repeat(width)).join('  '))
  for (const row of rows) console.log(line(row))
}

export function show (measurement: { value: number, exceeded?: boolean, atLeast?: boolean }, digits = 2) {
  return (measurement.exceeded || measurement.atLeast ? '> ' : '') + measurement.value.toFixed(digits)
}

function verdict ({ value, atLeast, wanted }: Target) {
  const met = 'min' in wanted ? value >= wanted.min : value <= wanted.max
  if (met) return 'met'
  return atLeast ? 'open (bound too short)' : 'MISSED'
}

export function printTargets (targets: readonly Target[]) {
  printTable('Targets', ['target', 'measured', 'wanted', ''], targets.map((target) => [
    target.name,
    show(target),
    'min' in target.wanted ? `>= ${target.wanted.min}` : `<= ${target.wanted.max}`,
    verdict(target)
  ]))
}
