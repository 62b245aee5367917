import type { ContainerCreateOptions, ContainerInspectInfo, HostConfig } from 'dockerode'

/** A setting in which a container is weaker than requested. */
export interface Deviation {
  /** In the Docker API's spelling. */
  field: string
  is: unknown
  asked: unknown
}

/**
 * Compares a container, as the engine inspects it, with the requested options: an engine may
 * accept a setting and ignore it. Only settings that confine the container are compared, and by
 * meaning, since engines spell the same setting differently. Swap, processors and the OOM score
 * are left out: kernels differ in what they can bound, and none of them is a way out.
 */
export function policyDeviations(
  inspected: ContainerInspectInfo,
  requested: ContainerCreateOptions,
): Deviation[] {
  const requestedHost = requested.HostConfig ?? {}
  const host = inspected.HostConfig
  return [...rules(inspected, requestedHost), ...configRules(inspected, requested)]
    .filter(({ holds }) => !holds)
    .map(({ field, is, asked }) => ({
      field,
      is: is ?? valueIn(field, { ...inspected, ...inspected.Config, ...host }),
      asked: asked ?? valueIn(field, { ...requested, ...requestedHost }),
    }))
}

interface Rule {
  field: string
  holds: boolean
  /** Reported instead of the settings. */
  is?: unknown
  asked?: unknown
}

function rules(inspected: ContainerInspectInfo, requested: HostConfig): Rule[] {
  const actual = inspected.HostConfig
  const allowed = new Set(requested.CapAdd?.map(bareName))
  const areAllowed = (caps: string[]) => caps.map(bareName).every((cap) => allowed.has(cap))
  const namespaces = ['PidMode', 'IpcMode', 'UTSMode', 'CgroupnsMode'] as const
  return [
    { field: 'Privileged', holds: !actual.Privileged },
    { field: 'CapDrop', holds: areAllowed(capsLeftBy(actual.CapDrop ?? [])) },
    { field: 'CapAdd', holds: areAllowed(actual.CapAdd ?? []) },
    {
      field: 'SecurityOpt',
      holds: hasSecurityOptions(actual.SecurityOpt ?? [], requested.SecurityOpt ?? []),
    },
    { field: 'NetworkMode', holds: isNetwork(actual.NetworkMode, requested.NetworkMode) },
    { field: 'ReadonlyRootfs', holds: actual.ReadonlyRootfs === true },
    { field: 'Mounts', holds: areMounts(inspected, requested) },
    { field: 'Devices', holds: isNone(actual.Devices) },
    { field: 'DeviceRequests', holds: isNone(actual.DeviceRequests) },
    { field: 'VolumesFrom', holds: isNone(actual.VolumesFrom) },
    // Only an empty list unmasks the paths. Podman masks them without a list.
    { field: 'MaskedPaths', holds: !isEmptyList(actual.MaskedPaths) },
    { field: 'ReadonlyPaths', holds: !isEmptyList(actual.ReadonlyPaths) },
    ...namespaces.map((field) => ({ field, holds: isOwnNamespace(readField(actual, field)) })),
    { field: 'PidsLimit', holds: isBounded(actual.PidsLimit, requested.PidsLimit) },
    { field: 'Memory', holds: isBounded(actual.Memory, requested.Memory) },
    { field: 'Ulimits', holds: !requested.Ulimits || hasNoCoreFiles(actual) },
    { field: 'LogConfig', holds: actual.LogConfig?.Type === requested.LogConfig?.Type },
    { field: 'AutoRemove', holds: actual.AutoRemove === true },
    { field: 'RestartPolicy', holds: ['', 'no', undefined].includes(actual.RestartPolicy?.Name) },
  ]
}

function configRules(
  { Config: actual }: ContainerInspectInfo,
  requested: ContainerCreateOptions,
): Rule[] {
  const added = (actual.Env ?? []).filter(
    (entry) => !requested.Env?.includes(entry) && !HARMLESS.test(entry),
  )
  return [
    { field: 'User', holds: actual.User === requested.User },
    // Names only: values come from the image, and may be long or secret.
    {
      field: 'Env',
      holds: added.length === 0,
      is: added.map((entry) => entry.split('=', 1)[0]),
      asked: [],
    },
    { field: 'Healthcheck', holds: isOff(actual.Healthcheck) },
    // A terminal would mix stderr into the line protocol.
    { field: 'Tty', holds: !actual.Tty },
    { field: 'OpenStdin', holds: actual.OpenStdin },
  ]
}

/** Variables that engines add. */
const HARMLESS = /^(container=podman|TERM=xterm|HOSTNAME=[\w.-]*)$/

/** A command that the engine runs in the container from time to time. */
function isOff(healthcheck: { Test?: string[] | undefined } | null | undefined): boolean {
  return ['NONE', undefined].includes(healthcheck?.Test?.[0])
}

const valueIn = (field: string, all: object): unknown => Object(all)[field]
const readField = (config: HostConfig, field: string) => valueIn(field, config)

/** Some engines spell capabilities with a prefix. */
const bareName = (cap: string) => cap.replace(/^CAP_/i, '').toUpperCase()

/** A container's default capabilities; Podman reports only the difference to them. */
const USUAL_CAPS = (
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID ' +
  'SETPCAP SETUID SYS_CHROOT'
).split(' ')

function capsLeftBy(dropped: string[]): string[] {
  const removed = new Set(dropped.map(bareName))
  return removed.has('ALL') ? [] : USUAL_CAPS.filter((cap) => !removed.has(cap))
}

function hasSecurityOptions(options: string[], requested: string[]): boolean {
  const hasNoNewRights = options.some((option) => /^no-new-privileges([:=]true)?$/.test(option))
  const profile = requested.find((option) => option.startsWith('seccomp='))
  const others = options.filter((option) => option !== profile)
  const hasProfile = others.length < options.length || !profile
  return hasNoNewRights && hasProfile && !others.some((option) => /unconfined|disable/.test(option))
}

function isNetwork(actual: string | undefined, requested: string | undefined): boolean {
  // An engine may rename its default network; never `none`.
  return requested === 'none' ? actual === 'none' : isOwnNamespace(actual)
}

/** Only the requested paths of the host's disk, and none of them more writable. */
function areMounts({ Mounts }: ContainerInspectInfo, requested: HostConfig): boolean {
  const byTarget = new Map(requested.Mounts?.map((mount) => [mount.Target, mount]))
  // A tmpfs is bounded by the container's memory.
  const onDisk = Mounts.filter(({ Type }) => Type !== 'tmpfs')
  const areKnown = onDisk.every(({ Type, Source, Destination, RW }) => {
    const mount = byTarget.get(Destination)
    if (Type !== 'bind' || !mount) return false
    return isFolder(Source, mount.Source) && !(mount.ReadOnly && RW)
  })
  return areKnown && onDisk.length === byTarget.size
}

/**
 * Some engines read a comma as the end of a path and the rest as another one. Engines in a virtual machine report
 * their own names for folders, so only paths with a comma are compared.
 */
function isFolder(actual: string, requested: string): boolean {
  return !hasComma(requested) || actual === requested
}

export const hasComma = (path: string) => path.includes(',')

function isNone(value: object | null | undefined): boolean {
  return Object.keys(value ?? {}).length === 0
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Neither the host's nor another container's. */
function isOwnNamespace(mode: unknown): boolean {
  return !/^(host|container:|ns:)/.test(String(mode ?? ''))
}

/** 0, -1 and an absent value mean no bound. */
function isBounded(actual: number | undefined | null, requested: number | undefined): boolean {
  return typeof actual === 'number' && actual > 0 && actual <= (requested ?? 0)
}

function hasNoCoreFiles({ Ulimits }: HostConfig): boolean {
  const limits: { Name?: string | undefined; Hard?: number | undefined }[] = Ulimits ?? []
  return limits.some(({ Name, Hard }) => /^(RLIMIT_)?core$/i.test(Name ?? '') && Hard === 0)
}
