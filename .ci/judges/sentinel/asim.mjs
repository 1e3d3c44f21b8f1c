// The Alert Event schema of ASIM, version 0.1, as far as a parser can keep to it or not: "The Advanced Security Information
// Model (ASIM) Alert Schema Reference" and "... common schema fields reference" by Microsoft. A field by type.
const fields = {
  datetime: "TimeGenerated EventStartTime EventEndTime ThreatFirstReportedTime ThreatLastReportedTime",
  int: "EventCount RuleNumber ThreatRiskLevel ThreatConfidence",
  long: "FileSize",
  bool: "ThreatIsActive",
  dynamic: "AdditionalFields",
  string: `Type _ResourceId EventType EventSubType EventUid EventMessage EventResult EventSeverity EventOriginalSeverity EventOriginalType
    EventOriginalSubType EventOriginalUid EventProduct EventProductVersion EventVendor EventSchema EventSchemaVersion EventReportUrl EventOwner
    DvcId DvcIdType DvcHostname DvcDomain DvcDomainType DvcFQDN DvcIpAddr DvcOs DvcOsVersion DvcMacAddr DvcAction DvcOriginalAction DvcZone
    DvcInterface DvcDescription DvcScope DvcScopeId AlertId AlertName AlertDescription AlertStatus AlertOriginalStatus AlertVerdict
    DetectionMethod Rule RuleName RuleDescription ThreatId ThreatName ThreatCategory ThreatOriginalCategory ThreatOriginalRiskLevel
    ThreatOriginalConfidence IndicatorType IndicatorAssociation AttackTactics AttackTechniques AttackRemediationSteps
    UserId UserIdType Username UsernameType UserType OriginalUserType UserSessionId UserScope UserScopeId
    ProcessId ProcessName ProcessCommandLine ProcessFileCompany FileName FilePath FileSHA1 FileSHA256 FileMD5 Url
    RegistryKey RegistryValue RegistryValueData RegistryValueType EmailMessageId EmailSubject IpAddr Hostname User`,
};
export const types = Object.fromEntries(Object.entries(fields).flatMap(([type, names]) => names.split(/\s+/).map((n) => [n, type])));

export const mandatory = "EventCount EventStartTime EventEndTime EventType EventUid EventProduct EventVendor EventSchema EventSchemaVersion".split(" ");
export const recommended = `EventSubType EventSeverity DvcIpAddr DvcHostname DvcDomain DvcDomainType DvcFQDN DvcId DvcIdType AlertName ThreatCategory
  IndicatorType AttackTactics AttackTechniques Username`.split(/\s+/);

// The filters of a parser, in the order in which Im_AlertEventCustom hands them on.
export const filters = `starttime:datetime endtime:datetime ipaddr_has_any_prefix:dynamic hostname_has_any:dynamic username_has_any:dynamic
  attacktactics_has_any:dynamic attacktechniques_has_any:dynamic threatcategory_has_any:dynamic alertverdict_has_any:dynamic
  eventseverity_has_any:dynamic disabled:bool`.split(/\s+/);

// misfits says what of a parser's columns the schema does not have.
export function misfits(columns) {
  const out = Object.entries(columns).filter(([name, type]) => types[name] !== type)
    .map(([name, type]) => `${name}:${type} is ${types[name] ? "a " + types[name] : "no field"} of AlertEvent`);
  return out.concat([...mandatory, ...recommended].filter((name) => !(name in columns)).map((name) => `AlertEvent: ${name} is missing`));
}
