#include "data/synth_statements.h"

#include <array>
#include <string>

#include "kernels/error.h"

namespace cardiograd {
namespace {

// One statement a line reads as the table that it is.
// clang-format off
constexpr std::array<SynthStatement, 71> table{{
    {"NDT", "non-diagnostic T abnormalities", true, true, false, "STTC", "STTC", "ST-T", "t-veraenderungen, unspezifisch", "non-diagnostic t wave changes"},
    {"NST_", "non-specific ST changes", true, true, false, "STTC", "NST_", "ST-T", "unspezifische st-veraenderungen", "non-specific st changes"},
    {"DIG", "digitalis effect", true, true, false, "STTC", "STTC", "ST-T", "st-verlauf wie unter digitalis", "st sagging, digitalis effect"},
    {"LNGQT", "long QT interval", true, true, false, "STTC", "STTC", "ST-T", "qt-zeit verlaengert", "long qt interval"},
    {"NORM", "normal ECG", true, false, false, "NORM", "NORM", "overall", "ekg im normbereich", "normal tracing"},
    {"IMI", "inferior myocardial infarction", true, false, false, "MI", "IMI", "infarction", "inferiorer infarkt", "inferior infarct"},
    {"ASMI", "anteroseptal myocardial infarction", true, false, false, "MI", "AMI", "infarction", "anteroseptaler infarkt", "anteroseptal infarct"},
    {"LVH", "left ventricular hypertrophy", true, false, false, "HYP", "LVH", "hypertrophy", "linksventrikulaere hypertrophie", "left ventricular hypertrophy"},
    {"LAFB", "left anterior fascicular block", true, false, false, "CD", "LAFB/LPFB", "conduction", "linksanteriorer hemiblock", "left anterior hemiblock"},
    {"ISC_", "non-specific ischemic ST-T changes", true, false, false, "STTC", "ISC_", "ST-T", "st-t wie bei ischaemie", "st-t changes suggest ischaemia"},
    {"IRBBB", "incomplete right bundle branch block", true, false, false, "CD", "IRBBB", "conduction", "inkompletter rechtsschenkelblock", "incomplete right bundle branch block"},
    {"1AVB", "first degree AV block", true, false, false, "CD", "_AVB", "conduction", "av-block 1. grades", "first degree av block"},
    {"IVCD", "non-specific intraventricular conduction disturbance", true, false, false, "CD", "IVCD", "conduction", "intraventrikulaere erregungsausbreitung verzoegert", "intraventricular conduction delay"},
    {"ISCAL", "ischemic in anterolateral leads", true, false, false, "STTC", "ISCA", "ST-T", "ischaemiezeichen anterolateral", "anterolateral ischaemia"},
    {"CRBBB", "complete right bundle branch block", true, false, false, "CD", "CRBBB", "conduction", "kompletter rechtsschenkelblock", "right bundle branch block"},
    {"CLBBB", "complete left bundle branch block", true, false, false, "CD", "CLBBB", "conduction", "kompletter linksschenkelblock", "left bundle branch block"},
    {"ILMI", "inferolateral myocardial infarction", true, false, false, "MI", "IMI", "infarction", "inferolateraler infarkt", "inferolateral infarct"},
    {"LAO/LAE", "left atrial overload/enlargement", true, false, false, "HYP", "LAO/LAE", "atria", "linker vorhof belastet", "left atrial overload"},
    {"AMI", "anterior myocardial infarction", true, false, false, "MI", "AMI", "infarction", "vorderwandinfarkt", "anterior infarct"},
    {"ALMI", "anterolateral myocardial infarction", true, false, false, "MI", "AMI", "infarction", "anterolateraler infarkt", "anterolateral infarct"},
    {"ISCIN", "ischemic in inferior leads", true, false, false, "STTC", "ISCI", "ST-T", "ischaemiezeichen inferior", "inferior ischaemia"},
    {"INJAS", "subendocardial injury in anteroseptal leads", true, false, false, "MI", "AMI", "ST-T", "innenschichtschaden anteroseptal", "anteroseptal subendocardial injury"},
    {"LMI", "lateral myocardial infarction", true, false, false, "MI", "LMI", "infarction", "lateraler infarkt", "lateral infarct"},
    {"ISCIL", "ischemic in inferolateral leads", true, false, false, "STTC", "ISCI", "ST-T", "ischaemiezeichen inferolateral", "inferolateral ischaemia"},
    {"LPFB", "left posterior fascicular block", true, false, false, "CD", "LAFB/LPFB", "conduction", "linksposteriorer hemiblock", "left posterior hemiblock"},
    {"ISCAS", "ischemic in anteroseptal leads", true, false, false, "STTC", "ISCA", "ST-T", "ischaemiezeichen anteroseptal", "anteroseptal ischaemia"},
    {"INJAL", "subendocardial injury in anterolateral leads", true, false, false, "MI", "AMI", "ST-T", "innenschichtschaden anterolateral", "anterolateral subendocardial injury"},
    {"ISCLA", "ischemic in lateral leads", true, false, false, "STTC", "ISCA", "ST-T", "ischaemiezeichen lateral", "lateral ischaemia"},
    {"RVH", "right ventricular hypertrophy", true, false, false, "HYP", "RVH", "hypertrophy", "rechtsventrikulaere hypertrophie", "right ventricular hypertrophy"},
    {"ANEUR", "ST-T changes as in ventricular aneurysm", true, false, false, "STTC", "STTC", "ST-T", "st-hebung, aneurysma denkbar", "persistent st elevation, aneurysm?"},
    {"RAO/RAE", "right atrial overload/enlargement", true, false, false, "HYP", "RAO/RAE", "atria", "p pulmonale", "right atrial overload"},
    {"EL", "electrolytic disturbance or drug", true, false, false, "STTC", "STTC", "ST-T", "elektrolytstoerung oder medikament?", "check electrolytes"},
    {"WPW", "Wolff-Parkinson-White syndrome", true, false, false, "CD", "WPW", "conduction", "delta-welle, wpw", "short pr and delta wave (wpw)"},
    {"ILBBB", "incomplete left bundle branch block", true, false, false, "CD", "ILBBB", "conduction", "inkompletter linksschenkelblock", "incomplete left bundle branch block"},
    {"IPLMI", "inferoposterolateral myocardial infarction", true, false, false, "MI", "IMI", "infarction", "inferoposterolateraler infarkt", "inferoposterolateral infarct"},
    {"ISCAN", "ischemic in anterior leads", true, false, false, "STTC", "ISCA", "ST-T", "ischaemiezeichen anterior", "anterior ischaemia"},
    {"IPMI", "inferoposterior myocardial infarction", true, false, false, "MI", "IMI", "infarction", "inferoposteriorer infarkt", "inferoposterior infarct"},
    {"SEHYP", "septal hypertrophy", true, false, false, "HYP", "SEHYP", "hypertrophy", "septumhypertrophie", "septal hypertrophy"},
    {"INJIN", "subendocardial injury in inferior leads", true, false, false, "MI", "IMI", "ST-T", "innenschichtschaden inferior", "inferior subendocardial injury"},
    {"INJLA", "subendocardial injury in lateral leads", true, false, false, "MI", "AMI", "ST-T", "innenschichtschaden lateral", "lateral subendocardial injury"},
    {"PMI", "posterior myocardial infarction", true, false, false, "MI", "PMI", "infarction", "posteriorer infarkt", "posterior infarct"},
    {"3AVB", "third degree AV block", true, false, false, "CD", "_AVB", "conduction", "av-block 3. grades", "complete av block"},
    {"INJIL", "subendocardial injury in inferolateral leads", true, false, false, "MI", "IMI", "ST-T", "innenschichtschaden inferolateral", "inferolateral subendocardial injury"},
    {"2AVB", "second degree AV block", true, false, false, "CD", "_AVB", "conduction", "av-block 2. grades", "second degree av block"},
    {"ABQRS", "abnormal QRS", false, true, false, "", "", "QRS", "qrs auffaellig", "qrs abnormal"},
    {"PVC", "ventricular premature complex", false, true, false, "", "", "ectopic beats", "ventrikulaere extrasystole", "ventricular ectopic beat"},
    {"STD_", "non-specific ST depression", false, true, false, "", "", "ST-T", "st gesenkt", "st depressed"},
    {"VCLVH", "voltage criteria (QRS) for left ventricular hypertrophy", false, true, false, "", "", "QRS", "lvh nach voltage", "voltage meets lvh limits"},
    {"QWAVE", "Q waves present", false, true, false, "", "", "QRS", "q-zacken", "q waves"},
    {"LOWT", "low amplitude T waves", false, true, false, "", "", "ST-T", "t flach", "t waves flat"},
    {"NT_", "non-specific T wave changes", false, true, false, "", "", "ST-T", "t unspezifisch", "minor t wave changes"},
    {"PAC", "atrial premature complex", false, true, false, "", "", "ectopic beats", "supraventrikulaere extrasystole", "atrial ectopic beat"},
    {"LPR", "prolonged PR interval", false, true, false, "", "", "conduction", "pq-zeit lang", "pr prolonged"},
    {"INVT", "inverted T waves", false, true, false, "", "", "ST-T", "t negativ", "t inversion"},
    {"LVOLT", "low QRS voltages in the frontal and horizontal leads", false, true, false, "", "", "QRS", "niedervoltage", "low voltage"},
    {"HVOLT", "high QRS voltage", false, true, false, "", "", "QRS", "hohe r-amplituden", "high voltage"},
    {"TAB_", "T wave abnormality", false, true, false, "", "", "ST-T", "t abnorm", "t wave abnormal"},
    {"STE_", "non-specific ST elevation", false, true, false, "", "", "ST-T", "st angehoben", "st elevated"},
    {"PRC(S)", "premature complex(es)", false, true, false, "", "", "ectopic beats", "vorzeitige schlaege", "premature beats"},
    {"SR", "sinus rhythm", false, false, true, "", "", "rhythm", "sinusrhythmus", "sinus rhythm"},
    {"AFIB", "atrial fibrillation", false, false, true, "", "", "rhythm", "vorhofflimmern", "atrial fibrillation"},
    {"STACH", "sinus tachycardia", false, false, true, "", "", "rhythm", "sinustachykardie", "sinus tachycardia"},
    {"SARRH", "sinus arrhythmia", false, false, true, "", "", "rhythm", "sinusarrhythmie", "sinus arrhythmia"},
    {"SBRAD", "sinus bradycardia", false, false, true, "", "", "rhythm", "sinusbradykardie", "sinus bradycardia"},
    {"PACE", "normal functioning artificial pacemaker", false, false, true, "", "", "rhythm", "schrittmacher-ekg", "paced rhythm"},
    {"SVARR", "supraventricular arrhythmia", false, false, true, "", "", "rhythm", "supraventrikulaere arrhythmie", "supraventricular arrhythmia"},
    {"BIGU", "bigeminal pattern", false, false, true, "", "", "rhythm", "bigeminus", "bigeminy"},
    {"AFLT", "atrial flutter", false, false, true, "", "", "rhythm", "vorhofflattern", "atrial flutter"},
    {"SVTAC", "supraventricular tachycardia", false, false, true, "", "", "rhythm", "supraventrikulaere tachykardie", "supraventricular tachycardia"},
    {"PSVT", "paroxysmal supraventricular tachycardia", false, false, true, "", "", "rhythm", "paroxysmale supraventrikulaere tachykardie", "paroxysmal svt"},
    {"TRIGU", "trigeminal pattern", false, false, true, "", "", "rhythm", "trigeminus", "trigeminy"},
}};
// clang-format on

}  // namespace

std::span<const SynthStatement> synth_statements() { return table; }

const SynthStatement& synth_statement(std::string_view code) {
  for (const SynthStatement& statement : table) {
    if (statement.code == code) return statement;
  }
  throw InputError("'" + std::string(code) +
                   "' is none of PTB-XL's 71 statements: see scp_statements.csv for their codes.");
}

}  // namespace cardiograd
