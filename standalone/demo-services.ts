/** One instance of the demo, as its application would describe itself. */
export interface DemoInstance {
  /** Upper case, as Eureka has it. */
  readonly app: string;
  readonly id: string;
  readonly ipAddr: string;
  readonly port: number;
  /** Whether the port is the secure one; such an instance has no other. */
  readonly isSecure: boolean;
  readonly zone: string;
  readonly version: string;
  readonly weight: number;
}

/** One event of the demo. */
export type DemoStep =
  /** It comes, or says something else about itself than before. */
  | { readonly kind: 'register'; readonly instance: DemoInstance }
  /** An operator takes it out of traffic. */
  | { readonly kind: 'drain'; readonly instance: DemoInstance }
  /** The operator gives it back. */
  | { readonly kind: 'restore'; readonly instance: DemoInstance }
  | { readonly kind: 'leave'; readonly instance: DemoInstance };

const zones = ['eu-west-1a', 'eu-west-1b', 'eu-central-1a'] as const;

const services = {
  ORDERS: { network: 1, port: 8080, isSecure: false },
  PAYMENTS: { network: 2, port: 8081, isSecure: false },
  INVENTORY: { network: 3, port: 8082, isSecure: false },
  VAULT: { network: 4, port: 8443, isSecure: true },
  COUPONS: { network: 5, port: 8083, isSecure: false },
} as const;

/** Instances of one service get the numbers 1, 2, ...; addresses repeat after so many. */
const addressesPerService = 200;

function instanceOf(
  app: keyof typeof services,
  number: number,
  facts: { readonly zone?: 0 | 1 | 2; readonly version?: number; readonly weight?: number } = {},
): DemoInstance {
  const { network, port, isSecure } = services[app];
  return {
    app,
    id: `${app.toLowerCase()}-${number}`,
    ipAddr: `10.20.${network}.${10 + (number % addressesPerService)}`,
    port,
    isSecure,
    zone: zones[facts.zone ?? 0],
    version: `v${facts.version ?? 1}`,
    weight: facts.weight ?? 100,
  };
}

const payments = [
  instanceOf('PAYMENTS', 1, { version: 3 }),
  instanceOf('PAYMENTS', 2, { version: 3, zone: 2, weight: 50 }),
] as const;

/** The two instances of the orders service in a round. Each round brings a new version. */
function ordersOf(round: number): readonly [DemoInstance, DemoInstance] {
  const version = round + 1;
  return [
    instanceOf('ORDERS', 2 * round + 1, { version }),
    instanceOf('ORDERS', 2 * round + 2, { version, zone: 1 }),
  ];
}

/** Who is registered when the demo starts. */
export function initialInstances(): readonly DemoInstance[] {
  return [
    ...ordersOf(0),
    ...payments,
    instanceOf('INVENTORY', 1),
    instanceOf('INVENTORY', 2, { zone: 1 }),
    instanceOf('VAULT', 1),
  ];
}

/**
 * What happens, without end and always the same: each round replaces the orders by a new version,
 * canary first, while inventory and vault grow and shrink, coupons come and go, and payments are
 * reweighted, drained and given back. At the end of a round the registry is as at its start but
 * for the version of the orders.
 */
export function* demoSteps(): Generator<DemoStep, never, undefined> {
  for (let round = 0; ; round += 1) yield* roundSteps(round);
}

function* roundSteps(round: number): Generator<DemoStep, void, undefined> {
  const [first, second] = ordersOf(round);
  const [newFirst, newSecond] = ordersOf(round + 1);
  const inventory = instanceOf('INVENTORY', 3, { zone: 2 });
  const vault = instanceOf('VAULT', 2, { zone: 2 });
  const coupons = instanceOf('COUPONS', 1, { zone: 1 });
  const [paymentsHere, paymentsElsewhere] = payments;
  yield { kind: 'register', instance: { ...newFirst, weight: 10 } };
  yield { kind: 'register', instance: newFirst };
  yield { kind: 'register', instance: coupons };
  yield { kind: 'drain', instance: first };
  yield { kind: 'leave', instance: first };
  yield { kind: 'register', instance: inventory };
  yield { kind: 'register', instance: newSecond };
  yield { kind: 'drain', instance: second };
  yield { kind: 'leave', instance: second };
  yield { kind: 'register', instance: vault };
  yield { kind: 'register', instance: { ...paymentsElsewhere, weight: 80 } };
  yield { kind: 'leave', instance: coupons };
  yield { kind: 'drain', instance: paymentsHere };
  yield { kind: 'leave', instance: inventory };
  yield { kind: 'restore', instance: paymentsHere };
  yield { kind: 'leave', instance: vault };
  yield { kind: 'register', instance: paymentsElsewhere };
}
