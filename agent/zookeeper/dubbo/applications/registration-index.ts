import type { Registration } from './registration.ts';

/** Registrations by their path, and by application and address: who is concerned when a leaf comes or goes. */
export class RegistrationIndex {
  private readonly byPath = new Map<string, Registration>();
  private readonly byPlace = new Map<string, Map<string, Set<Registration>>>();

  get(path: string): Registration | undefined {
    return this.byPath.get(path);
  }

  add(registration: Registration): void {
    const { application, address } = registration.record;
    this.byPath.set(registration.path, registration);
    const addresses = this.byPlace.get(application) ?? new Map<string, Set<Registration>>();
    this.byPlace.set(application, addresses);
    const places = addresses.get(address) ?? new Set();
    addresses.set(address, places.add(registration));
  }

  /** With the record that it was added with. */
  delete(registration: Registration): void {
    const { application, address } = registration.record;
    this.byPath.delete(registration.path);
    const addresses = this.byPlace.get(application);
    const places = addresses?.get(address);
    places?.delete(registration);
    if (places?.size === 0) addresses?.delete(address);
    if (addresses?.size === 0) this.byPlace.delete(application);
  }

  /** Those of an application at an address. */
  at(application: string, address: string): Iterable<Registration> {
    return this.byPlace.get(application)?.get(address) ?? [];
  }
}
