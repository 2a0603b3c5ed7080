// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Names of interfaces and of their operations, by UUID and opnum, as the open specifications of Microsoft give them; each
//! entry says which. An interface that does not stand here is written by its UUID alone.
//!
//! The list holds what an analyst meets in an intrusion: services, tasks, registry, accounts, printing, replication, DCOM
//! and WMI. Must never be used to decide anything: a name is for the reader.

use super::pdu::Uuid;

/// An interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    uuid: u128,
    // Names by opnum, one behind the other; `-` where the number is not used on the wire.
    procedures: &'static str,
}

impl Service {
    /// The name of an operation.
    pub fn procedure(&self, opnum: u16) -> Option<&'static str> {
        self.procedures.split_whitespace().nth(opnum.into()).filter(|n| *n != "-")
    }
}

/// The interface of that UUID.
pub fn service(uuid: &Uuid) -> Option<&'static Service> {
    let wanted = u128::from_be_bytes(*uuid);
    SERVICES.iter().find(|s| s.uuid == wanted)
}

const fn s(name: &'static str, uuid: u128, procedures: &'static str) -> Service {
    Service { name, uuid, procedures }
}

const SERVICES: &[Service] = &[
    // C706, appendices O and Q.
    s(
        "epmapper",
        0xe1af8308_5d1f_11c9_91a4_08002b14a0fa,
        "ept_insert ept_delete ept_lookup ept_map ept_lookup_handle_free ept_inq_object ept_mgmt_delete",
    ),
    s(
        "mgmt",
        0xafa8bd80_7d8a_11c9_bef4_08002b102989,
        "inq_if_ids inq_stats is_server_listening stop_server_listening inq_princ_name",
    ),
    // MS-SCMR 3.1.4.
    s(
        "svcctl",
        0x367abb81_9844_35f1_ad32_98f038001003,
        "RCloseServiceHandle RControlService RDeleteService RLockServiceDatabase RQueryServiceObjectSecurity \
         RSetServiceObjectSecurity RQueryServiceStatus RSetServiceStatus RUnlockServiceDatabase \
         RNotifyBootConfigStatus - RChangeServiceConfigW RCreateServiceW REnumDependentServicesW \
         REnumServicesStatusW ROpenSCManagerW ROpenServiceW RQueryServiceConfigW RQueryServiceLockStatusW \
         RStartServiceW RGetServiceDisplayNameW RGetServiceKeyNameW - RChangeServiceConfigA RCreateServiceA \
         REnumDependentServicesA REnumServicesStatusA ROpenSCManagerA ROpenServiceA RQueryServiceConfigA \
         RQueryServiceLockStatusA RStartServiceA RGetServiceDisplayNameA RGetServiceKeyNameA - REnumServiceGroupW \
         RChangeServiceConfig2A RChangeServiceConfig2W RQueryServiceConfig2A RQueryServiceConfig2W \
         RQueryServiceStatusEx REnumServicesStatusExA REnumServicesStatusExW - RCreateServiceWOW64A \
         RCreateServiceWOW64W - RNotifyServiceStatusChange RGetNotifyResults RCloseNotifyHandle RControlServiceExA \
         RControlServiceExW",
    ),
    // MS-TSCH 3.2.5.2 to 3.2.5.4.
    s("atsvc", 0x1ff70682_0a51_30e8_076d_740be8cee98b, "NetrJobAdd NetrJobDel NetrJobEnum NetrJobGetInfo"),
    s(
        "sasec",
        0x378e52b0_c0a9_11cf_822d_00aa0051e40f,
        "SASetAccountInformation SASetNSAccountInformation SAGetNSAccountInformation SAGetAccountInformation",
    ),
    s(
        "ITaskSchedulerService",
        0x86d35949_83c9_4044_b424_db363231fd0c,
        "SchRpcHighestVersion SchRpcRegisterTask SchRpcRetrieveTask SchRpcCreateFolder SchRpcSetSecurity \
         SchRpcGetSecurity SchRpcEnumFolders SchRpcEnumTasks SchRpcEnumInstances SchRpcGetInstanceInfo \
         SchRpcStopInstance SchRpcStop SchRpcRun SchRpcDelete SchRpcRename SchRpcScheduledRuntimes \
         SchRpcGetLastRunInfo SchRpcGetTaskInfo SchRpcGetNumberOfMissedRuns SchRpcEnableTask",
    ),
    // MS-RRP 3.1.5.
    s(
        "winreg",
        0x338cd001_2244_31f1_aaaa_900038001003,
        "OpenClassesRoot OpenCurrentUser OpenLocalMachine OpenPerformanceData OpenUsers BaseRegCloseKey \
         BaseRegCreateKey BaseRegDeleteKey BaseRegDeleteValue BaseRegEnumKey BaseRegEnumValue BaseRegFlushKey \
         BaseRegGetKeySecurity BaseRegLoadKey - BaseRegOpenKey BaseRegQueryInfoKey BaseRegQueryValue \
         BaseRegReplaceKey BaseRegRestoreKey BaseRegSaveKey BaseRegSetKeySecurity BaseRegSetValue BaseRegUnLoadKey \
         - - BaseRegGetVersion OpenCurrentConfig - BaseRegQueryMultipleValues - BaseRegSaveKeyEx \
         OpenPerformanceText OpenPerformanceNlsText BaseRegQueryMultipleValues2 BaseRegDeleteKeyEx",
    ),
    // MS-SRVS 3.1.4.
    s(
        "srvsvc",
        0x4b324fc8_1670_01d3_1278_5a47bf6ee188,
        "- - - - - - - - NetrConnectionEnum NetrFileEnum NetrFileGetInfo NetrFileClose NetrSessionEnum \
         NetrSessionDel NetrShareAdd NetrShareEnum NetrShareGetInfo NetrShareSetInfo NetrShareDel \
         NetrShareDelSticky NetrShareCheck NetrServerGetInfo NetrServerSetInfo NetrServerDiskEnum \
         NetrServerStatisticsGet NetrServerTransportAdd NetrServerTransportEnum NetrServerTransportDel \
         NetrRemoteTOD - NetprPathType NetprPathCanonicalize NetprPathCompare NetprNameValidate \
         NetprNameCanonicalize NetprNameCompare NetrShareEnumSticky NetrShareDelStart NetrShareDelCommit \
         NetrpGetFileSecurity NetrpSetFileSecurity NetrServerTransportAddEx - NetrDfsGetVersion \
         NetrDfsCreateLocalPartition NetrDfsDeleteLocalPartition NetrDfsSetLocalVolumeState - \
         NetrDfsCreateExitPoint NetrDfsDeleteExitPoint NetrDfsModifyPrefix NetrDfsFixLocalVolume \
         NetrDfsManagerReportSiteInfo NetrServerTransportDelEx",
    ),
    // MS-WKST 3.2.4.
    s(
        "wkssvc",
        0x6bffd098_a112_3610_9833_46c3f87e345a,
        "NetrWkstaGetInfo NetrWkstaSetInfo NetrWkstaUserEnum - - NetrWkstaTransportEnum NetrWkstaTransportAdd \
         NetrWkstaTransportDel NetrUseAdd NetrUseGetInfo NetrUseDel NetrUseEnum - NetrWorkstationStatisticsGet - - \
         - - - - NetrGetJoinInformation - NetrJoinDomain2 NetrUnjoinDomain2 NetrRenameMachineInDomain2 \
         NetrValidateName2 NetrGetJoinableOUs2 NetrAddAlternateComputerName NetrRemoveAlternateComputerName \
         NetrSetPrimaryComputerName NetrEnumerateComputerNames",
    ),
    // MS-SAMR 3.1.5.
    s(
        "samr",
        0x12345778_1234_abcd_ef00_0123456789ac,
        "SamrConnect SamrCloseHandle SamrSetSecurityObject SamrQuerySecurityObject - SamrLookupDomainInSamServer \
         SamrEnumerateDomainsInSamServer SamrOpenDomain SamrQueryInformationDomain SamrSetInformationDomain \
         SamrCreateGroupInDomain SamrEnumerateGroupsInDomain SamrCreateUserInDomain SamrEnumerateUsersInDomain \
         SamrCreateAliasInDomain SamrEnumerateAliasesInDomain SamrGetAliasMembership SamrLookupNamesInDomain \
         SamrLookupIdsInDomain SamrOpenGroup SamrQueryInformationGroup SamrSetInformationGroup \
         SamrAddMemberToGroup SamrDeleteGroup SamrRemoveMemberFromGroup SamrGetMembersInGroup \
         SamrSetMemberAttributesOfGroup SamrOpenAlias SamrQueryInformationAlias SamrSetInformationAlias \
         SamrDeleteAlias SamrAddMemberToAlias SamrRemoveMemberFromAlias SamrGetMembersInAlias SamrOpenUser \
         SamrDeleteUser SamrQueryInformationUser SamrSetInformationUser SamrChangePasswordUser \
         SamrGetGroupsForUser SamrQueryDisplayInformation SamrGetDisplayEnumerationIndex - - \
         SamrGetUserDomainPasswordInformation SamrRemoveMemberFromForeignDomain SamrQueryInformationDomain2 \
         SamrQueryInformationUser2 SamrQueryDisplayInformation2 SamrGetDisplayEnumerationIndex2 \
         SamrCreateUser2InDomain SamrQueryDisplayInformation3 SamrAddMultipleMembersToAlias \
         SamrRemoveMultipleMembersFromAlias SamrOemChangePasswordUser2 SamrUnicodeChangePasswordUser2 \
         SamrGetDomainPasswordInformation SamrConnect2 SamrSetInformationUser2 - - - SamrConnect4 - SamrConnect5 \
         SamrRidToSid SamrSetDSRMPassword SamrValidatePassword",
    ),
    // MS-LSAD 3.1.4, MS-LSAT 3.1.4.
    s(
        "lsarpc",
        0x12345778_1234_abcd_ef00_0123456789ab,
        "LsarClose - LsarEnumeratePrivileges LsarQuerySecurityObject LsarSetSecurityObject - LsarOpenPolicy \
         LsarQueryInformationPolicy LsarSetInformationPolicy - LsarCreateAccount LsarEnumerateAccounts \
         LsarCreateTrustedDomain LsarEnumerateTrustedDomains LsarLookupNames LsarLookupSids LsarCreateSecret \
         LsarOpenAccount LsarEnumeratePrivilegesAccount LsarAddPrivilegesToAccount \
         LsarRemovePrivilegesFromAccount - - LsarGetSystemAccessAccount LsarSetSystemAccessAccount \
         LsarOpenTrustedDomain LsarQueryInfoTrustedDomain LsarSetInformationTrustedDomain LsarOpenSecret \
         LsarSetSecret LsarQuerySecret LsarLookupPrivilegeValue LsarLookupPrivilegeName \
         LsarLookupPrivilegeDisplayName LsarDeleteObject LsarEnumerateAccountsWithUserRight \
         LsarEnumerateAccountRights LsarAddAccountRights LsarRemoveAccountRights LsarQueryTrustedDomainInfo \
         LsarSetTrustedDomainInfo LsarDeleteTrustedDomain LsarStorePrivateData LsarRetrievePrivateData \
         LsarOpenPolicy2 LsarGetUserName LsarQueryInformationPolicy2 LsarSetInformationPolicy2",
    ),
    // MS-NRPC 3.5.4.
    s(
        "netlogon",
        0x12345678_1234_abcd_ef00_01234567cffb,
        "NetrLogonUasLogon NetrLogonUasLogoff NetrLogonSamLogon NetrLogonSamLogoff NetrServerReqChallenge \
         NetrServerAuthenticate NetrServerPasswordSet NetrDatabaseDeltas NetrDatabaseSync NetrAccountDeltas \
         NetrAccountSync NetrGetDCName NetrLogonControl NetrGetAnyDCName NetrLogonControl2 \
         NetrServerAuthenticate2 NetrDatabaseSync2 NetrDatabaseRedo NetrLogonControl2Ex \
         NetrEnumerateTrustedDomains DsrGetDcName NetrLogonGetCapabilities NetrLogonSetServiceBits \
         NetrLogonGetTrustRid NetrLogonComputeServerDigest NetrLogonComputeClientDigest NetrServerAuthenticate3 \
         DsrGetDcNameEx DsrGetSiteName NetrLogonGetDomainInfo NetrServerPasswordSet2 NetrServerPasswordGet \
         NetrLogonSendToSam DsrAddressToSiteNamesW DsrGetDcNameEx2 NetrLogonGetTimeServiceParentDomain \
         NetrEnumerateTrustedDomainsEx DsrAddressToSiteNamesExW DsrGetDcSiteCoverageW NetrLogonSamLogonEx \
         DsrEnumerateDomainTrusts DsrDeregisterDnsHostRecords NetrServerTrustPasswordsGet \
         DsrGetForestTrustInformation NetrGetForestTrustInformation NetrLogonSamLogonWithFlags \
         NetrServerGetTrustInfo",
    ),
    // MS-DRSR 4.1.
    s(
        "drsuapi",
        0xe3514235_4b06_11d1_ab04_00c04fc2dcd2,
        "IDL_DRSBind IDL_DRSUnbind IDL_DRSReplicaSync IDL_DRSGetNCChanges IDL_DRSUpdateRefs IDL_DRSReplicaAdd \
         IDL_DRSReplicaDel IDL_DRSReplicaModify IDL_DRSVerifyNames IDL_DRSGetMemberships IDL_DRSInterDomainMove \
         IDL_DRSGetNT4ChangeLog IDL_DRSCrackNames IDL_DRSWriteSPN IDL_DRSRemoveDsServer IDL_DRSRemoveDsDomain \
         IDL_DRSDomainControllerInfo IDL_DRSAddEntry IDL_DRSExecuteKCC IDL_DRSGetReplInfo IDL_DRSAddSidHistory \
         IDL_DRSGetMemberships2 IDL_DRSReplicaVerifyObjects IDL_DRSGetObjectExistence IDL_DRSQuerySitesByCost",
    ),
    // MS-RPRN 3.1.4.
    s(
        "spoolss",
        0x12345678_1234_abcd_ef00_0123456789ab,
        "RpcEnumPrinters RpcOpenPrinter RpcSetJob RpcGetJob RpcEnumJobs RpcAddPrinter RpcDeletePrinter \
         RpcSetPrinter RpcGetPrinter RpcAddPrinterDriver RpcEnumPrinterDrivers RpcGetPrinterDriver \
         RpcGetPrinterDriverDirectory RpcDeletePrinterDriver RpcAddPrintProcessor RpcEnumPrintProcessors \
         RpcGetPrintProcessorDirectory RpcStartDocPrinter RpcStartPagePrinter RpcWritePrinter RpcEndPagePrinter \
         RpcAbortPrinter RpcReadPrinter RpcEndDocPrinter RpcAddJob RpcScheduleJob RpcGetPrinterData \
         RpcSetPrinterData RpcWaitForPrinterChange RpcClosePrinter RpcAddForm RpcDeleteForm RpcGetForm RpcSetForm \
         RpcEnumForms RpcEnumPorts RpcEnumMonitors - - RpcDeletePort RpcCreatePrinterIC RpcPlayGdiScriptOnPrinterIC \
         RpcDeletePrinterIC - - - RpcAddMonitor RpcDeleteMonitor RpcDeletePrintProcessor - - \
         RpcEnumPrintProcessorDatatypes RpcResetPrinter RpcGetPrinterDriver2 - - \
         RpcFindClosePrinterChangeNotification - RpcReplyOpenPrinter RpcRouterReplyPrinter RpcReplyClosePrinter \
         RpcAddPortEx RpcRemoteFindFirstPrinterChangeNotification - - \
         RpcRemoteFindFirstPrinterChangeNotificationEx RpcRouterReplyPrinterEx \
         RpcRouterRefreshPrinterChangeNotification - RpcOpenPrinterEx RpcAddPrinterEx RpcSetPort \
         RpcEnumPrinterData RpcDeletePrinterData - - - RpcSetPrinterDataEx RpcGetPrinterDataEx \
         RpcEnumPrinterDataEx RpcEnumPrinterKey RpcDeletePrinterDataEx RpcDeletePrinterKey - \
         RpcDeletePrinterDriverEx RpcAddPerMachineConnection RpcDeletePerMachineConnection \
         RpcEnumPerMachineConnections RpcXcvData RpcAddPrinterDriverEx",
    ),
    // MS-EFSR 3.1.4.2; over the pipe lsarpc and over its own.
    s(
        "efsrpc",
        0xc681d488_d850_11d0_8c52_00c04fd90f7e,
        "EfsRpcOpenFileRaw EfsRpcReadFileRaw EfsRpcWriteFileRaw EfsRpcCloseRaw EfsRpcEncryptFileSrv \
         EfsRpcDecryptFileSrv EfsRpcQueryUsersOnFile EfsRpcQueryRecoveryAgents EfsRpcRemoveUsersFromFile \
         EfsRpcAddUsersToFile - EfsRpcNotSupported EfsRpcFileKeyInfo EfsRpcDuplicateEncryptionInfoFile - \
         EfsRpcAddUsersToFileEx",
    ),
    s(
        "efsrpc",
        0xdf1941c5_fe89_4e79_bf10_463657acf44d,
        "EfsRpcOpenFileRaw EfsRpcReadFileRaw EfsRpcWriteFileRaw EfsRpcCloseRaw EfsRpcEncryptFileSrv \
         EfsRpcDecryptFileSrv EfsRpcQueryUsersOnFile EfsRpcQueryRecoveryAgents EfsRpcRemoveUsersFromFile \
         EfsRpcAddUsersToFile - EfsRpcNotSupported EfsRpcFileKeyInfo EfsRpcDuplicateEncryptionInfoFile - \
         EfsRpcAddUsersToFileEx",
    ),
    // MS-DFSNM 3.1.4.
    s(
        "netdfs",
        0x4fc742e0_4a10_11cf_8273_00aa004ae673,
        "NetrDfsManagerGetVersion NetrDfsAdd NetrDfsRemove NetrDfsSetInfo NetrDfsGetInfo NetrDfsEnum NetrDfsMove \
         - - - NetrDfsAddFtRoot \
         NetrDfsRemoveFtRoot NetrDfsAddStdRoot NetrDfsRemoveStdRoot NetrDfsManagerInitialize \
         NetrDfsAddStdRootForced NetrDfsGetDcAddress NetrDfsSetDcAddress NetrDfsFlushFtTable NetrDfsAdd2 \
         NetrDfsRemove2 NetrDfsEnumEx NetrDfsSetInfo2",
    ),
    // MS-DSSP 3.2.5, MS-BKRP 3.1.4, MS-RSP 3.2.4 and 3.3.4.
    s("dssetup", 0x3919286a_b10c_11d0_9ba8_00c04fd92ef5, "DsRolerGetPrimaryDomainInformation"),
    s("BackupKey", 0x3dde7c30_165d_11d1_ab8f_00805f14db40, "BackuprKey"),
    s(
        "InitShutdown",
        0x894de0c0_0d55_11d3_a322_00c04fa321a1,
        "BaseInitiateShutdown BaseAbortShutdown BaseInitiateShutdownEx",
    ),
    s("WindowsShutdown", 0xd95afe70_a6d5_4259_822e_2c84da1ddb0d, "WsdrInitiateShutdown WsdrAbortShutdown"),
    // MS-DCOM 3.1.2.5.
    s(
        "IObjectExporter",
        0x99fcfec4_5260_101b_bbcb_00aa0021347a,
        "ResolveOxid SimplePing ComplexPing ServerAlive ResolveOxid2 ServerAlive2",
    ),
    s("IActivation", 0x4d9f4ab8_7d1c_11cf_861e_0020af6e7c57, "RemoteActivation"),
    s("IRemoteSCMActivator", 0x000001a0_0000_0000_c000_000000000046, "- - - RemoteGetClassObject RemoteCreateInstance"),
    s(
        "IRemUnknown2",
        0x00000143_0000_0000_c000_000000000046,
        "- - - RemQueryInterface RemAddRef RemRelease RemQueryInterface2",
    ),
    s("IRemUnknown", 0x00000131_0000_0000_c000_000000000046, "- - - RemQueryInterface RemAddRef RemRelease"),
    // MS-OAUT 3.1.4.
    s("IDispatch", 0x00020400_0000_0000_c000_000000000046, "- - - GetTypeInfoCount GetTypeInfo GetIDsOfNames Invoke"),
    // MS-WMI 3.1.4.
    s(
        "IWbemLevel1Login",
        0xf309ad18_d86a_11d0_a075_00c04fb68820,
        "- - - EstablishPosition RequestChallenge WBEMLogin NTLMLogin",
    ),
    s("IWbemLoginClientID", 0xd4781cd6_e5d3_44df_ad94_930efe48a887, "- - - SetClientInfo"),
    s(
        "IWbemServices",
        0x9556dc99_828c_11cf_a37e_00aa003240c7,
        "- - - OpenNamespace CancelAsyncCall QueryObjectSink GetObject GetObjectAsync PutClass PutClassAsync \
         DeleteClass DeleteClassAsync CreateClassEnum CreateClassEnumAsync PutInstance PutInstanceAsync \
         DeleteInstance DeleteInstanceAsync CreateInstanceEnum CreateInstanceEnumAsync ExecQuery ExecQueryAsync \
         ExecNotificationQuery ExecNotificationQueryAsync ExecMethod ExecMethodAsync",
    ),
    // MS-DNSP 3.1.4.
    s(
        "dnsserver",
        0x50abc2a4_574d_40b3_9d66_ee4fd5fba076,
        "R_DnssrvOperation R_DnssrvQuery R_DnssrvComplexOperation R_DnssrvEnumRecords R_DnssrvUpdateRecord \
         R_DnssrvOperation2 R_DnssrvQuery2 R_DnssrvComplexOperation2 R_DnssrvEnumRecords2 R_DnssrvUpdateRecord2",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_stand_at_their_numbers() {
        // Opnums from the specifications' method tables, at the ends and behind gaps of each list.
        for (uuid, opnum, want) in [
            (0x367abb81_9844_35f1_ad32_98f038001003u128, 12, Some("RCreateServiceW")),
            (0x367abb81_9844_35f1_ad32_98f038001003, 51, Some("RControlServiceExW")),
            (0x367abb81_9844_35f1_ad32_98f038001003, 10, None),
            (0x338cd001_2244_31f1_aaaa_900038001003, 22, Some("BaseRegSetValue")),
            (0x338cd001_2244_31f1_aaaa_900038001003, 35, Some("BaseRegDeleteKeyEx")),
            (0x4b324fc8_1670_01d3_1278_5a47bf6ee188, 15, Some("NetrShareEnum")),
            (0x4b324fc8_1670_01d3_1278_5a47bf6ee188, 53, Some("NetrServerTransportDelEx")),
            (0x6bffd098_a112_3610_9833_46c3f87e345a, 30, Some("NetrEnumerateComputerNames")),
            (0x12345778_1234_abcd_ef00_0123456789ac, 64, Some("SamrConnect5")),
            (0x12345778_1234_abcd_ef00_0123456789ac, 67, Some("SamrValidatePassword")),
            (0x12345778_1234_abcd_ef00_0123456789ab, 44, Some("LsarOpenPolicy2")),
            (0x12345678_1234_abcd_ef00_01234567cffb, 26, Some("NetrServerAuthenticate3")),
            (0x12345678_1234_abcd_ef00_01234567cffb, 46, Some("NetrServerGetTrustInfo")),
            (0xe3514235_4b06_11d1_ab04_00c04fc2dcd2, 3, Some("IDL_DRSGetNCChanges")),
            (0x12345678_1234_abcd_ef00_0123456789ab, 65, Some("RpcRemoteFindFirstPrinterChangeNotificationEx")),
            (0x12345678_1234_abcd_ef00_0123456789ab, 89, Some("RpcAddPrinterDriverEx")),
            (0xc681d488_d850_11d0_8c52_00c04fd90f7e, 15, Some("EfsRpcAddUsersToFileEx")),
            (0x4fc742e0_4a10_11cf_8273_00aa004ae673, 13, Some("NetrDfsRemoveStdRoot")),
            (0x86d35949_83c9_4044_b424_db363231fd0c, 1, Some("SchRpcRegisterTask")),
            (0x9556dc99_828c_11cf_a37e_00aa003240c7, 24, Some("ExecMethod")),
            (0x1ff70682_0a51_30e8_076d_740be8cee98b, 4, None),
        ] {
            assert_eq!(service(&uuid.to_be_bytes()).unwrap().procedure(opnum), want, "{uuid:x} {opnum}");
        }
        assert_eq!(service(&[0; 16]), None);
    }
}
