// Records what opossum decides, under fake timers: random schedules with a fixed
// seed (traces) and the cases in which Holdfast decides otherwise on purpose
// (differences). Run it in a folder with
//   npm install opossum@9.0.0 @sinonjs/fake-timers@15.5.0
//   node record.mjs > opossum.json
// or `make golden` for all recordings.
//
// The random schedules keep to what both mean the same by, each restriction
// being one of the differences: calls end before the next one begins and in the
// step of the window in which they began, except for probes; a probe ends where
// the window steps on; and after the circuit has closed the window runs empty.
import FakeTimers from '@sinonjs/fake-timers'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const clock = FakeTimers.install({ now: 0 })
const Breaker = require('opossum') // after the clock: it must see only this one

let seed = 20261124 // mulberry32
const random = () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]

// A Run is one breaker and what happened to it. Its steps are
// [ms, what, call, admitted, state, fires, failures]; what is fire, look, locked
// (refused for its capacity) or how a call ended: success, failure, filtered or
// timeout. fires and failures are those of the window, afterwards.
class Run {
  constructor (name, config) {
    this.name = name
    this.config = config
    this.steps = []
    this.began = Date.now()
    this.calls = 0
    this.open = new Map() // call -> [resolve, reject]
    const action = (call) => new Promise((resolve, reject) => this.open.set(call, [resolve, reject]))
    this.breaker = new Breaker(action, { ...config, errorFilter: (e) => e.message === 'filtered' })
    this.breaker.on('timeout', (_error, _latency, [call]) => { this.late = call })
  }

  get now () { return Date.now() - this.began }

  state () {
    const b = this.breaker
    return b.opened ? 'open' : b.halfOpen ? 'half_open' : 'closed'
  }

  step (what, call, admitted) {
    const { fires, failures } = this.breaker.stats
    this.steps.push([this.now, what, call, admitted, this.state(), fires, failures])
  }

  async wait (ms) {
    this.late = undefined
    await clock.tickAsync(ms)
    if (this.late !== undefined) {
      this.open.delete(this.late)
      this.step('timeout', this.late, true)
    }
  }

  async until (ms) { await this.wait(ms - this.now) }

  look () { this.step('look', 0, false) }

  async fire () {
    const call = ++this.calls
    let code
    this.breaker.fire(call).catch((e) => { code = e.code })
    await clock.tickAsync(0)
    this.step(code === 'ESEMLOCKED' ? 'locked' : 'fire', call, this.open.has(call))
    return call
  }

  async end (call, how) {
    const [resolve, reject] = this.open.get(call)
    this.open.delete(call)
    how === 'success' ? resolve() : reject(new Error(how))
    await clock.tickAsync(0)
    this.step(how, call, true)
  }

  async call (how) {
    const call = await this.fire()
    if (this.open.has(call)) await this.end(call, how)
  }

  done () {
    this.breaker.shutdown()
    clock.reset()
    return { name: this.name, config: this.config, steps: this.steps }
  }
}

async function closed (r, failing) {
  const width = r.config.rollingCountTimeout / 10
  await r.wait(pick([0, 0, 1, 7, width / 2, width, below(3 * width)]))
  if (!r.breaker.closed) return
  if (random() < 0.2) r.look()
  const how = random() < failing ? pick(['failure', 'failure', 'timeout']) : pick(['success', 'success', 'success', 'filtered'])
  const left = width - (r.now % width)
  const call = await r.fire()
  if (how === 'timeout' && r.config.timeout < left) {
    await r.wait(r.config.timeout)
    return
  }
  await r.wait(pick([0, 0, below(Math.min(left, r.config.timeout))]))
  await r.end(call, how === 'timeout' ? 'failure' : how)
}

async function opened (r) {
  const since = r.steps.at(-1)[0]
  for (const at of [below(r.config.resetTimeout), r.config.resetTimeout - 1]) {
    if (since + at > r.now) await r.until(since + at)
    pick([() => r.look(), () => r.fire()])()
    await clock.tickAsync(0)
  }
  await r.until(since + r.config.resetTimeout)
  r.look()
}

async function halfOpen (r, failing) {
  const width = r.config.rollingCountTimeout / 10
  await r.wait(pick([0, 1, below(width)]))
  const probe = await r.fire()
  if (random() < 0.5) await r.fire() // one at a time
  const edge = Math.ceil((r.now + 1) / width) * width
  if (edge - r.steps.findLast((s) => s[2] === probe)[0] >= r.config.timeout || edge - r.now >= r.config.timeout) {
    await r.wait(r.config.timeout)
    return
  }
  await r.until(edge)
  await r.end(probe, random() < failing ? 'failure' : 'success')
  if (r.breaker.closed) {
    await r.wait(r.config.rollingCountTimeout)
    r.look()
  }
}

async function schedule (i) {
  const config = {
    timeout: pick([40, 3000]),
    errorThresholdPercentage: pick([0, 1, 10, 25, 33, 50, 50, 75, 99, 100]),
    volumeThreshold: pick([0, 0, 1, 3, 10, 20]),
    resetTimeout: pick([1000, 5000, 30000]),
    rollingCountTimeout: pick([1000, 10000, 60000]),
    allowWarmUp: pick([false, false, true])
  }
  const failing = pick([0.1, 0.3, 0.6, 0.9])
  const r = new Run(`random ${i}`, config)
  while (r.steps.length < 90) {
    await (r.breaker.closed ? closed(r, failing) : r.breaker.opened ? opened(r) : halfOpen(r, failing))
  }
  return r.done()
}

// What Holdfast does otherwise; the replay says how.
const differences = {
  'a success from before the outage closes the circuit': async () => {
    const r = new Run('', { timeout: 60000, volumeThreshold: 4, errorThresholdPercentage: 75, resetTimeout: 1000 })
    const old = await r.fire()
    for (let i = 0; i < 4; i++) await r.call('failure')
    await r.wait(1000)
    await r.fire() // the probe, which has not ended yet
    await r.end(old, 'success')
    return r
  },
  'a failure from before the outage opens a half-open circuit': async () => {
    const r = new Run('', { timeout: 60000, volumeThreshold: 4, errorThresholdPercentage: 75, resetTimeout: 1000 })
    const old = await r.fire()
    for (let i = 0; i < 4; i++) await r.call('failure')
    await r.wait(1000)
    await r.fire() // the probe, which has not ended yet
    await r.end(old, 'failure')
    return r
  },
  'calls under way count as if they had worked': async () => {
    const r = new Run('', { timeout: 60000, volumeThreshold: 3 })
    for (let i = 0; i < 6; i++) await r.fire()
    for (let i = 0; i < 3; i++) await r.call('failure')
    return r
  },
  'a call counts in the window when it begins': async () => {
    const r = new Run('', { timeout: 60000, volumeThreshold: 2, rollingCountTimeout: 10000 })
    const calls = [await r.fire(), await r.fire(), await r.fire()]
    await r.wait(15000)
    for (const call of calls) await r.end(call, 'failure')
    return r
  },
  'its own refusals for capacity are failures': async () => {
    const r = new Run('', { timeout: 60000, capacity: 1 })
    await r.fire()
    await r.fire()
    await r.fire()
    await r.fire()
    return r
  },
  'what was counted before the outage counts after it': async () => {
    const r = new Run('', { volumeThreshold: 5, resetTimeout: 1000 })
    for (let i = 0; i < 5; i++) await r.call('failure')
    await r.wait(1000)
    await r.call('success')
    await r.call('failure')
    return r
  },
  'refused calls count as if they had worked': async () => {
    const r = new Run('', { volumeThreshold: 2, resetTimeout: 1000 })
    for (let i = 0; i < 2; i++) await r.call('failure')
    for (let i = 0; i < 6; i++) await r.fire()
    await r.wait(1000)
    await r.call('success')
    await r.call('failure')
    await r.call('failure')
    return r
  },
  'a probe that hangs without a timeout keeps everybody out': async () => {
    const r = new Run('', { timeout: false, resetTimeout: 1000 })
    await r.call('failure')
    await r.wait(1000)
    await r.fire()
    await r.wait(29000)
    await r.fire()
    await r.wait(3600000)
    await r.fire()
    return r
  },
  'an error that errorFilter takes out closes a half-open circuit': async () => {
    const r = new Run('', { resetTimeout: 1000 })
    await r.call('failure')
    await r.wait(1000)
    await r.call('filtered')
    return r
  }
}

// together is how many calls ran at once in spite of capacity: 1, because a timeout
// ends no call.
async function together () {
  let running = 0
  let most = 0
  const action = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 100))
    running--
  }
  const breaker = new Breaker(action, { capacity: 1, timeout: 10, volumeThreshold: 10 })
  for (let i = 0; i < 3; i++) {
    breaker.fire().catch(() => {})
    await clock.tickAsync(20)
  }
  breaker.shutdown()
  clock.reset()
  return most
}

const traces = []
for (let i = 0; i < 40; i++) traces.push(await schedule(i))
const apart = []
for (const [name, run] of Object.entries(differences)) {
  const r = await run()
  r.name = name
  apart.push(r.done())
}

const most = await together()
clock.uninstall()

// The names that a migration guide must know, from the package's own source: it
// declares no types.
const source = readFileSync('node_modules/opossum/lib/circuit.js', 'utf8')
const names = (pattern) => [...new Set([...source.matchAll(pattern)].map((m) => m[1]))].sort()
const options = names(/(?<!this\.)\boptions\.([a-zA-Z]+)/g).filter((n) => n !== 'stats') // stats is of newStatus
const events = names(/emit\('([a-zA-Z]+)'/g)
const members = [...Object.getOwnPropertyNames(Breaker), ...Object.getOwnPropertyNames(Breaker.prototype)]
  .filter((n) => !['length', 'name', 'prototype', 'constructor'].includes(n) && !n.startsWith('_'))

const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
const lines = (list) => list.map((t) => JSON.stringify(t)).join(',\n')
console.log(`{"recorded":{"opossum":"${version('opossum')}","@sinonjs/fake-timers":"${version('@sinonjs/fake-timers')}","node":"${process.version}"},
"names":${JSON.stringify({ options, events, members })},
"together":${most},
"traces":[\n${lines(traces)}\n],\n"differences":[\n${lines(apart)}\n]}`)
