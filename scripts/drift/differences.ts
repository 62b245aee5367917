/**
 * The differences of two values, one line each: path, recorded value, observed value. The order of
 * headers and of body fields is part of the wire format and is compared too.
 */
export function differences(recorded: unknown, observed: unknown, path = ''): string[] {
  if (isObject(recorded) && isObject(observed)) {
    const names = [...new Set([...Object.keys(recorded), ...Object.keys(observed)])]
    const inside = names.flatMap((name) => {
      const at = path === '' ? name : `${path}.${name}`
      return differences(recorded[name], observed[name], at)
    })
    const [recordedOrder, observedOrder] = [recorded, observed].map((value) =>
      Object.keys(value).join(', '),
    )
    // The order is reported only if the names are the same.
    const isOnWire = /\b(headers|body)$/.test(path)
    return isOnWire && inside.length === 0 && recordedOrder !== observedOrder
      ? [line(`${path} (order)`, recordedOrder, observedOrder)]
      : inside
  }
  if (Array.isArray(recorded) && Array.isArray(observed)) {
    const length = Math.max(recorded.length, observed.length)
    return Array.from({ length }, (_, index) =>
      differences(recorded[index], observed[index], `${path}[${index}]`),
    ).flat()
  }
  return Object.is(recorded, observed) ? [] : [line(path, recorded, observed)]
}

function line(path: string, recorded: unknown, observed: unknown): string {
  return `${path}: ${shown(recorded)} → ${shown(observed)}`
}

function shown(value: unknown): string {
  const text = value === undefined ? 'none' : JSON.stringify(value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
