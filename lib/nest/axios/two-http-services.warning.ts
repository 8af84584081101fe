import { HttpService } from '@nestjs/axios';
import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { exportersTo, type ModuleNode } from '../module-graph.js';
import { isSigningClient } from '../signing-client.js';

/**
 * Warns at start of each module that imports both `HttpModule` and `ServiceHttpModule`: of the two `HttpService`,
 * Nest injects the first.
 */
@Injectable()
export class TwoHttpServicesWarning implements OnModuleInit {
  private readonly logger = new Logger('ServiceAuth');

  constructor(@Inject(ModulesContainer) private readonly modules: ModulesContainer) {}

  onModuleInit(): void {
    const nodes = [...this.modules.values()];
    const own = nodes.find(
      ({ providers }) => providers.get(TwoHttpServicesWarning)?.instance === this,
    );
    if (!own) return;
    const texts = nodes.flatMap((node) => describe(node, own));
    // A global module is imported everywhere, so one warning is enough.
    for (const text of own.isGlobal ? texts.slice(0, 1) : texts) this.logger.warn(text);
  }
}

function describe(node: ModuleNode, signing: ModuleNode): string[] {
  const imports = [...node.imports];
  const at = imports.indexOf(signing);
  if (at < 0) return [];
  const isPlain = (each: ModuleNode, index: number): boolean =>
    mayCompete(each, signing, index < at) &&
    exportersTo(node, HttpService, [each]).some((source) => !isSigningClient(source));
  const plainAt = imports.findIndex(isPlain);
  const plain = imports[plainAt];
  if (!plain) return [];
  const both = `${node.name} imports both ${plain.name} and ${signing.name}, and each exports HttpService.`;
  return [
    plainAt < at
      ? `${both} Nest injects that of ${plain.name}, which is imported first: its requests leave unsigned. Remove ${plain.name}.`
      : `${both} Nest injects that of ${signing.name}, which is imported first; in the other order requests leave unsigned. Remove ${plain.name}.`,
  ];
}

/** Nest appends global modules to the imports of every module, after the module's own imports. */
function mayCompete(other: ModuleNode, signing: ModuleNode, isBefore: boolean): boolean {
  return other.isGlobal === signing.isGlobal || (other.isGlobal && isBefore);
}
