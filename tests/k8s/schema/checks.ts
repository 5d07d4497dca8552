// SPDX-License-Identifier: Apache-2.0
// Types of what k8s/ contains. schema_test.py writes one TypeScript file for every object, as a literal of one of
// these types, so that the compiler refuses wrong types and unknown keys alike.
import type { Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { FieldConfig as TimelineField, Options as TimelineOptions } from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type { FieldConfig as TableField, Options as TableOptions } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { FieldConfig as SeriesField, Options as SeriesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON writes the values of enumerations; a TypeScript enumeration does not accept them.
type Json<T> = T extends string ? `${T}` : T extends number ? number : T extends boolean ? boolean
  : T extends Array<infer Item> ? Array<Json<Item>> : T extends object ? { [Key in keyof T]: Json<T[Key]> } : T;

interface PrometheusTarget {
  datasource: { type: 'prometheus'; uid: '${datasource}' };
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: 'table' | 'time_series' | 'heatmap';
  instant?: boolean;
  range?: boolean;
}

type Fields<Custom> = { defaults: Json<Omit<NonNullable<Panel['fieldConfig']>['defaults'], 'custom'>> & { custom?: Json<Custom> };
  overrides: Json<NonNullable<Panel['fieldConfig']>['overrides']> };

type Of<Kind extends string, Options, Custom> =
  Json<Omit<Panel, 'type' | 'options' | 'targets' | 'fieldConfig' | 'datasource' | 'title' | 'description' | 'gridPos'>> &
  Required<Pick<Json<Panel>, 'title' | 'description' | 'gridPos'>> & {
    type: Kind; options: Json<Options>; targets: PrometheusTarget[]; fieldConfig: Fields<Custom>;
    datasource: PrometheusTarget['datasource'] };

export type SondePanel =
  | Of<'timeseries', SeriesOptions, SeriesField>
  | Of<'stat', Omit<StatOptions, 'percentChangeColorMode' | 'showPercentChange' | 'wideLayout'> & Partial<StatOptions>, {}>
  | Of<'state-timeline', TimelineOptions, TimelineField>
  | Of<'table', Omit<TableOptions, 'frameIndex'> & Partial<TableOptions>, Partial<TableField>>
  | Json<RowPanel>;

export type SondeDashboard = Json<Omit<Dashboard, 'panels' | 'templating'>> & {
  uid: string; title: string; panels: SondePanel[]; templating: { list: Json<VariableModel>[] } };

export type { IConfigMap as ConfigMap } from 'kubernetes-models/v1/ConfigMap';
export type { IDaemonSet as DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
export type { IDeployment as Deployment } from 'kubernetes-models/apps/v1/Deployment';
export type { IJob as Job } from 'kubernetes-models/batch/v1/Job';
export type { INamespace as Namespace } from 'kubernetes-models/v1/Namespace';
export type { IPodMonitor as PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor';
export type { IPrometheusRule as PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
export type { IRole as Role } from 'kubernetes-models/rbac.authorization.k8s.io/v1/Role';
export type { IService as Service } from 'kubernetes-models/v1/Service';
export type { IStatefulSet as StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
