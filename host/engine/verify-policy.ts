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
  asked: ContainerCreateOptions,
): Deviation[] {
  const wanted = asked.HostConfig ?? {}
  const host = inspected.HostConfig
  return [...rules(inspected, wanted), ...configRules(inspected, asked)]
    .filter(({ holds }) => !holds)
    .map(({ field, is, asked: wish }) => ({
      field,
      is: is ?? valueIn(field, { ...inspected, ...inspected.Config, ...host }),
      asked: wish ?? valueIn(field, { ...asked, ...wanted }),
    }))
}

interface Rule {
  field: string
  holds: boolean
  /** Reported instead of the settings. */
  is?: unknown
  asked?: unknown
}

function rules(inspected: ContainerInspectInfo, asked: HostConfig): Rule[] {
  const is = inspected.HostConfig
  const allowed = new Set(asked.CapAdd?.map(bareName))
  const areAllowed = (caps: string[]) => caps.map(bareName).every((cap) => allowed.has(cap))
  const namespaces = ['PidMode', 'IpcMode', 'UTSMode', 'CgroupnsMode'] as const
  return [
    { field: 'Privileged', holds: !is.Privileged },
    { field: 'CapDrop', holds: areAllowed(capsLeftBy(is.CapDrop ?? [])) },
    { field: 'CapAdd', holds: areAllowed(is.CapAdd ?? []) },
    { field: 'SecurityOpt', holds: holdsRightsDown(is.SecurityOpt ?? [], asked.SecurityOpt ?? []) },
    { field: 'NetworkMode', holds: isNetwork(is.NetworkMode, asked.NetworkMode) },
    { field: 'ReadonlyRootfs', holds: is.ReadonlyRootfs === true },
    { field: 'Mounts', holds: areMounts(inspected, asked) },
    { field: 'Devices', holds: isNone(is.Devices) },
    { field: 'DeviceRequests', holds: isNone(is.DeviceRequests) },
    { field: 'VolumesFrom', holds: isNone(is.VolumesFrom) },
    // Only an empty list unmasks the paths. Podman masks them without a list.
    { field: 'MaskedPaths', holds: !isEmptyList(is.MaskedPaths) },
    { field: 'ReadonlyPaths', holds: !isEmptyList(is.ReadonlyPaths) },
    ...namespaces.map((field) => ({ field, holds: isOwnNamespace(readField(is, field)) })),
    { field: 'PidsLimit', holds: isBounded(is.PidsLimit, asked.PidsLimit) },
    { field: 'Memory', holds: isBounded(is.Memory, asked.Memory) },
    { field: 'Ulimits', holds: !asked.Ulimits || hasNoCoreFiles(is) },
    { field: 'LogConfig', holds: is.LogConfig?.Type === asked.LogConfig?.Type },
    { field: 'AutoRemove', holds: is.AutoRemove === true },
    { field: 'RestartPolicy', holds: ['', 'no', undefined].includes(is.RestartPolicy?.Name) },
  ]
}

function configRules({ Config: is }: ContainerInspectInfo, asked: ContainerCreateOptions): Rule[] {
  const added = (is.Env ?? []).filter(
    (entry) => !asked.Env?.includes(entry) && !HARMLESS.test(entry),
  )
  return [
    { field: 'User', holds: is.User === asked.User },
    // Names only: values come from the image, and may be long or secret.
    {
      field: 'Env',
      holds: added.length === 0,
      is: added.map((entry) => entry.split('=', 1)[0]),
      asked: [],
    },
    { field: 'Healthcheck', holds: isOff(is.Healthcheck) },
    // A terminal would mix stderr into the line protocol.
    { field: 'Tty', holds: !is.Tty },
    { field: 'OpenStdin', holds: is.OpenStdin },
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
  const gone = new Set(dropped.map(bareName))
  return gone.has('ALL') ? [] : USUAL_CAPS.filter((cap) => !gone.has(cap))
}

function holdsRightsDown(options: string[], asked: string[]): boolean {
  const hasNoNewRights = options.some((option) => /^no-new-privileges([:=]true)?$/.test(option))
  const profile = asked.find((option) => option.startsWith('seccomp='))
  const others = options.filter((option) => option !== profile)
  const hasProfile = others.length < options.length || !profile
  return hasNoNewRights && hasProfile && !others.some((option) => /unconfined|disable/.test(option))
}

function isNetwork(is: string | undefined, asked: string | undefined): boolean {
  // An engine may rename its default network; never `none`.
  return asked === 'none' ? is === 'none' : isOwnNamespace(is)
}

/** Only the requested paths of the host's disk, and none of them more writable. */
function areMounts({ Mounts }: ContainerInspectInfo, asked: HostConfig): boolean {
  const wanted = new Map(asked.Mounts?.map((mount) => [mount.Target, mount]))
  // A tmpfs is bounded by the container's memory.
  const onDisk = Mounts.filter(({ Type }) => Type !== 'tmpfs')
  const areKnown = onDisk.every(({ Type, Source, Destination, RW }) => {
    const mount = wanted.get(Destination)
    if (Type !== 'bind' || !mount) return false
    return isFolder(Source, mount.Source) && !(mount.ReadOnly && RW)
  })
  return areKnown && onDisk.length === wanted.size
}

/**
 * Some engines read a comma as the end of a path and the rest as another one. Engines in a virtual machine report
 * their own names for folders, so only paths with a comma are compared.
 */
function isFolder(is: string, asked: string): boolean {
  return !hasComma(asked) || is === asked
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
function isBounded(is: number | undefined | null, asked: number | undefined): boolean {
  return typeof is === 'number' && is > 0 && is <= (asked ?? 0)
}

function hasNoCoreFiles({ Ulimits }: HostConfig): boolean {
  const limits: { Name?: string | undefined; Hard?: number | undefined }[] = Ulimits ?? []
  return limits.some(({ Name, Hard }) => /^(RLIMIT_)?core$/i.test(Name ?? '') && Hard === 0)
}
