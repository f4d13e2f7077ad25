#include "data/prepare.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>

#include "data/labels.h"
#include "data/notes.h"
#include "data/packed.h"
#include "data/wfdb.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::TempFolder;

constexpr std::int64_t length = 1000;

std::int16_t sample(int id, std::int64_t time, std::size_t lead) {
  return static_cast<std::int16_t>(id * 100 + time % 50 + static_cast<std::int64_t>(lead));
}

// A data set of `records` small records, in the layout of PTB-XL.
class SmallPtbxl {
 public:
  explicit SmallPtbxl(int records) {
    folder_.write("root/scp_statements.csv",
                  ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
                  "SR,sinus rhythm,,,1.0,,\nNORM,normal,1.0,,,NORM,NORM\nIMI,mi,1.0,,,MI,IMI\n");
    for (int id = 1; id <= records; ++id) {
      rows_.push_back(std::to_string(id) + ",9,,0,report " + std::to_string(id) +
                      (id % 2 == 0 ? ",\"{'NORM': 80.0, 'SR': 0.0}\"," : ",{'SR': 0.0},") +
                      "True," + std::to_string((id - 1) % 10 + 1) + ",records100/" + name(id) +
                      ",records500/" + name(id));
      write_record(id, 100, 1000, standard_leads());
    }
    write_rows();
  }

  static std::string name(int id) { return std::to_string(id) + "_lr"; }
  std::filesystem::path root() const { return folder_ / "root"; }
  std::filesystem::path out() const { return folder_ / "packed"; }
  std::filesystem::path file(int id, const char* extension) const {
    return root() / "records100" / (name(id) + extension);
  }
  std::string csv() const { return (root() / "ptbxl_database.csv").string(); }
  const TempFolder& folder() const { return folder_; }
  std::vector<std::string>& rows() { return rows_; }

  void write_rows() const {
    std::string text =
        "ecg_id,patient_id,age,sex,report,scp_codes,validated_by_human,strat_fold,filename_lr,"
        "filename_hr\n";
    for (const std::string& row : rows_) text += row + "\n";
    folder_.write("root/ptbxl_database.csv", text);
  }

  void write_record(int id, double rate, double gain, const std::vector<std::string>& leads,
                    std::int64_t samples = length) const {
    std::vector<std::int16_t> values;
    for (std::int64_t time = 0; time < samples; ++time) {
      for (const std::string& lead : leads) {
        const auto at = std::find(standard_leads().begin(), standard_leads().end(), lead);
        values.push_back(sample(id, time, static_cast<std::size_t>(at - standard_leads().begin())));
      }
    }
    std::filesystem::create_directories(root() / "records100");
    write_wfdb_record(root() / "records100" / name(id), rate, gain, leads, values);
  }

  void edit(const std::filesystem::path& path, const std::string& from, const std::string& to) {
    std::string text = read_file(path);
    text.replace(text.find(from), from.size(), to);
    folder_.write(std::filesystem::relative(path, folder_.path()).string(), text);
  }

  PrepareSummary run(bool keep_going = false) const {
    PrepareOptions options{root(), 100, out()};
    options.keep_going = keep_going;
    return prepare(options);
  }
  std::string error() const {
    return error_of([&] { run(); });
  }

 private:
  TempFolder folder_;
  std::vector<std::string> rows_;
};

TEST(Prepare, PacksEverythingInTheTablesOrder) {
  SmallPtbxl data(300);  // more than one block of records
  std::vector<std::int64_t> progress;
  const PrepareSummary summary =
      prepare({data.root(), 100, data.out()},
              [&](std::int64_t done, std::int64_t) { progress.push_back(done); });
  EXPECT_EQ(progress, (std::vector<std::int64_t>{256, 300}));
  EXPECT_EQ(summary.records, 300);
  EXPECT_EQ(summary.by_fold[3], 30);
  EXPECT_EQ(summary.unlabelled.at("superdiagnostic"), 150);
  EXPECT_EQ(summary.unlabelled.at("all"), 0);
  EXPECT_EQ(summary.statements, 3);
  EXPECT_EQ(summary.statements_used, 2);
  EXPECT_EQ(summary.bytes, std::filesystem::file_size(data.out()));

  const PackedDataset packed(data.out());
  EXPECT_EQ(packed.records(), 300);
  EXPECT_EQ(packed.length(), length);
  EXPECT_EQ(packed.rate(), 100);
  EXPECT_EQ(packed.source(), "root");
  EXPECT_EQ(packed.adc_gain()[11], 1000.0F);
  EXPECT_EQ(packed.statements()[0].code, "IMI");
  EXPECT_EQ(packed.statements()[0].diagnostic_class, "MI");
  for (const int id : {1, 256, 257, 300}) {
    const auto signal = packed.signal(id - 1);
    EXPECT_EQ(signal[0], sample(id, 0, 0));
    EXPECT_EQ(signal[999 * 12 + 11], sample(id, 999, 11));
    EXPECT_EQ(packed.ecg_id()[static_cast<std::size_t>(id - 1)], id);
    EXPECT_EQ(packed.report(id - 1), "report " + std::to_string(id));
  }
  EXPECT_EQ(packed.patient_id()[5], 9);
  EXPECT_TRUE(std::isnan(packed.age()[5]));
  EXPECT_EQ(packed.sex()[5], 0);
  EXPECT_EQ(packed.validated()[5], 1);
  EXPECT_EQ(packed.fold()[5], 6);
  EXPECT_EQ((std::vector<float>{packed.likelihood().begin(), packed.likelihood().begin() + 6}),
            (std::vector<float>{-1, -1, 0, -1, 80, 0}));
  packed.release(0, 300);
  EXPECT_EQ(packed.signal(299)[0], sample(300, 0, 0)) << "released memory is read again";
}

TEST(Prepare, DenoisesAndSaysSoInTheFile) {
  SmallPtbxl data(3);
  data.run();
  const PackedDataset plain(data.out());
  EXPECT_EQ(plain.denoise(), std::nullopt);
  const std::vector<std::int16_t> noisy(plain.signal(1).begin(), plain.signal(1).end());

  const DenoiseSpec spec{1, 3, false, 2.0};  // the ramps of sample() have no db4 detail
  PrepareOptions options{data.root(), 100, data.folder() / "denoised"};
  options.denoise = spec;
  const PrepareSummary summary = prepare(options);
  const PackedDataset packed(options.out);
  EXPECT_EQ(packed.denoise(), spec);
  std::vector<std::int16_t> expected = noisy;
  denoise_record(spec, packed_leads, expected);
  EXPECT_NE(expected, noisy);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), packed.signal(1).begin()));
  EXPECT_GT(summary.changed_samples, 0);
}

TEST(Prepare, NotesUseTheTrainingFoldsWeightsAndCanBeMadeAgain) {
  SmallPtbxl data(10);
  data.rows()[8] = "9,9,,0,onlyinvalidation,{},True,9,records100/9_lr,records500/9_lr";
  data.rows()[0] = "1,9,,0,,{},True,1,records100/1_lr,records500/1_lr";
  data.write_rows();
  EXPECT_EQ(data.run().empty_notes, 1);
  const PackedDataset packed(data.out());
  ASSERT_TRUE(packed.has_notes());
  const NoteEmbedder embedder(packed.note_idf());
  std::vector<float> again(note_dimensions);
  embedder.embed(packed.report(4), again);
  EXPECT_TRUE(std::equal(again.begin(), again.end(), packed.notes().begin() + 4 * note_dimensions));
  EXPECT_NE(again, std::vector<float>(note_dimensions));
  for (const std::int64_t zero : {0, 8}) {
    const auto note =
        packed.notes().subspan(static_cast<std::size_t>(zero) * note_dimensions, note_dimensions);
    EXPECT_TRUE(std::all_of(note.begin(), note.end(), [](float v) { return v == 0; }));
  }
}

TEST(Prepare, LeadsInAnotherOrderAreSorted) {
  SmallPtbxl data(2);
  std::vector<std::string> reversed(standard_leads().rbegin(), standard_leads().rend());
  data.write_record(2, 100, 1000, reversed);
  data.edit(data.file(2, ".hea"), " AVR\n", " aVR\n");
  data.run();
  const PackedDataset packed(data.out());
  for (std::size_t lead = 0; lead < 12; ++lead) {
    EXPECT_EQ(packed.signal(1)[12 * 7 + lead], sample(2, 7, lead));
  }
}

// Each fault, what makes it in record 2 of 3, and the sentence.
struct Fault {
  const char* name;
  std::function<void(SmallPtbxl&)> plant;
  std::function<std::string(const SmallPtbxl&)> sentence;
};

const std::vector<Fault>& faults() {
  static const std::string fold_sentence =
      ", line 3: strat_fold is \"0\", where a fold from 1 to 10 is expected";
  static const std::vector<Fault> all = {
      {"checksum", [](SmallPtbxl& d) { d.edit(d.file(2, ".hea"), " 30892 0 AVR", " 30893 0 AVR"); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() +
                ", line 5: the samples of lead "
                "\"AVR\" in 2_lr.dat have the checksum 30892, but the header "
                "says 30893; the record is damaged, fetch it again";
       }},
      {"truncated", [](SmallPtbxl& d) { std::filesystem::resize_file(d.file(2, ".dat"), 23'998); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".dat").string() +
                " is truncated: the header's "
                "1000 samples of 12 signals take 24000 bytes, but the file "
                "has 23998";
       }},
      {"missing file", [](SmallPtbxl& d) { std::filesystem::remove(d.file(2, ".hea")); },
       [](const SmallPtbxl& d) {
         return "cannot open " + d.file(2, ".hea").string() + ": No such file or directory";
       }},
      {"signal count", [](SmallPtbxl& d) { d.edit(d.file(2, ".hea"), "2_lr 12", "2_lr 13"); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() +
                ", line 1: 13 signals are "
                "announced, but 12 signal lines follow";
       }},
      {"rate", [](SmallPtbxl& d) { d.write_record(2, 500, 1000, standard_leads()); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() + " is sampled at 500 Hz, where 100 Hz are expected";
       }},
      {"length", [](SmallPtbxl& d) { d.write_record(2, 100, 1000, standard_leads(), 999); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() +
                " has 999 samples a lead, where "
                "1000 (10 s) are expected";
       }},
      {"gain", [](SmallPtbxl& d) { d.write_record(2, 100, 200, standard_leads()); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() +
                " has another gain than the "
                "records before it, which one packed file cannot hold";
       }},
      {"baseline", [](SmallPtbxl& d) { d.edit(d.file(2, ".hea"), "1000.0(0)", "1000.0(5)"); },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() +
                ", line 2: lead \"I\" is not in "
                "mV with a baseline of 0, which the packed file needs";
       }},
      {"lead", [](SmallPtbxl& d) { d.edit(d.file(2, ".hea"), " V6\n", " V7\n"); },
       [](const SmallPtbxl& d) { return d.file(2, ".hea").string() + " has no lead V6"; }},
      {"fewer leads",
       [](SmallPtbxl& d) {
         d.write_record(2, 100, 1000, {"I", "II"});
       },
       [](const SmallPtbxl& d) {
         return d.file(2, ".hea").string() + " has 2 signals, where the 12 leads are expected";
       }},
      {"statement", [](SmallPtbxl& d) { d.edit(d.csv(), "'NORM'", "'NORX'"); },
       [](const SmallPtbxl& d) {
         return d.csv() +
                ", line 3: scp_codes names \"NORX\", which is no "
                "statement of scp_statements.csv";
       }},
      {"fold", [](SmallPtbxl& d) { d.edit(d.csv(), "True,2,", "True,0,"); },
       [](const SmallPtbxl& d) { return d.csv() + fold_sentence; }},
      {"id twice", [](SmallPtbxl& d) { d.edit(d.csv(), "\n2,", "\n1,"); },
       [](const SmallPtbxl& d) {
         return d.csv() + ", line 3: the ecg_id 1 stands in an earlier row already";
       }},
  };
  return all;
}

TEST(Prepare, EachFaultStopsWithItsSentenceAndLeavesNothing) {
  for (const Fault& fault : faults()) {
    SmallPtbxl data(3);
    std::filesystem::remove(data.file(3, ".hea"));  // a later fault, which must not be named
    fault.plant(data);
    EXPECT_EQ(data.error(), fault.sentence(data)) << fault.name;
    const auto left = std::distance(std::filesystem::directory_iterator(data.folder().path()), {});
    EXPECT_EQ(left, 1) << fault.name << ": only the data set itself";
  }
}

TEST(Prepare, KeepGoingSetsEachFaultAsideAndPacksTheRest) {
  for (const Fault& fault : faults()) {
    SmallPtbxl data(3);
    fault.plant(data);
    const PrepareSummary summary = data.run(true);
    EXPECT_EQ(summary.records, 2) << fault.name;
    ASSERT_EQ(summary.rejected.size(), 1U) << fault.name;
    EXPECT_EQ(summary.rejected[0].reason, fault.sentence(data)) << fault.name;
    const CsvTable report = CsvTable::read(data.out().string() + ".rejected.csv");
    EXPECT_EQ(report.field(0, report.column("ecg_id")), summary.rejected[0].ecg_id);
    EXPECT_EQ(report.field(0, report.column("reason")), fault.sentence(data)) << fault.name;
    const PackedDataset packed(data.out());
    EXPECT_EQ(packed.records(), 2) << fault.name;
    EXPECT_EQ(packed.ecg_id()[1], 3) << fault.name;
    EXPECT_EQ(packed.signal(1)[0], sample(3, 0, 0)) << fault.name;
    EXPECT_EQ(packed.report(1), "report 3") << fault.name;
  }
}

TEST(Prepare, AMissingFolderSaysWhatItMustHold) {
  const TempFolder folder;
  EXPECT_EQ(error_of([&] {
              prepare({folder / "none", 100, folder / "out", false});
            }),
            (folder / "none").string() +
                " has no scp_statements.csv; --root must be the folder of PTB-XL, with "
                "ptbxl_database.csv, scp_statements.csv, records100/ and records500/");
  EXPECT_EQ(error_of([&] {
              prepare({folder.path(), 250, folder / "out", false});
            }),
            "PTB-XL has records at 100 and at 500 Hz, not at 250");
}

TEST(Prepare, NothingLeftToPackIsAnError) {
  SmallPtbxl data(1);
  std::filesystem::remove(data.file(1, ".hea"));
  EXPECT_EQ(error_of([&] { data.run(true); }), "none of the 1 rows of " + data.csv() +
                                                   " could be packed; the first one: cannot open " +
                                                   data.file(1, ".hea").string() +
                                                   ": No such file or directory");
}

TEST(Prepare, TheRealSubsetPacksCompletely) {
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset");
  const std::filesystem::path root = testing::shared_path("ptbxl-subset");
  const TempFolder folder;
  const PrepareSummary summary = prepare({root, 100, folder / "packed", false});
  EXPECT_EQ(summary.records, 2830);
  EXPECT_TRUE(summary.rejected.empty());
  const std::array<std::int64_t, 11> folds = {0, 260, 307, 307, 267, 307, 282, 288, 315, 333, 164};
  EXPECT_EQ(summary.by_fold, folds);
  EXPECT_EQ(summary.unlabelled.at("superdiagnostic"), 56);
  const PackedDataset packed(folder / "packed");
  const WfdbRecord last = read_wfdb_record(root / "records100/00000/00001_lr");
  EXPECT_TRUE(std::ranges::equal(packed.signal(0), last.samples));

  const std::string error = error_of([&] { prepare({root, 500, folder / "hr", false}); });
  EXPECT_EQ(error, "cannot open " + (root / "records500/00000/00001_hr.hea").string() +
                       ": No such file or directory");
  EXPECT_EQ(prepare({root, 500, folder / "hr", true}).records, 400);
  EXPECT_EQ(PackedDataset(folder / "hr").length(), 5000);
}

}  // namespace
}  // namespace cardiograd
