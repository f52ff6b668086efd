import type { Cluster, Redis } from 'ioredis'

export function isCluster (connection: object): connection is Cluster {
  return 'isCluster' in connection && connection.isCluster === true
}

export function isClient (connection: object): connection is Redis | Cluster {
  return 'duplicate' in connection
}
