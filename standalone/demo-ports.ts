import { createServer } from 'node:net';
import type { HostPort } from '../common/address.ts';
import type { StandaloneValues } from './config.ts';

/** The same configuration, with port 0 (any free one) for listeners whose port is taken. */
export async function pickDemoPorts(values: StandaloneValues): Promise<StandaloneValues> {
  const [mcpListen, metricsListen, adminListen] = await Promise.all(
    [values.mcpListen, values.metricsListen, values.adminListen].map(freeOrAny),
  );
  if (!mcpListen || !metricsListen || !adminListen) return values;
  return { ...values, mcpListen, metricsListen, adminListen };
}

async function freeOrAny(wanted: HostPort): Promise<HostPort> {
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(wanted.port, wanted.host, () => server.close(() => resolve(true)));
  });
  return isFree ? wanted : { ...wanted, port: 0 };
}
